import CGnuTLS
import CoAPGateway
import NIOCore
import Testing

/// DTLS and TLS without sockets: a client by GnuTLS, against the listener's end.
@Suite struct SecureSessionTests {
    static let keys: [[UInt8]: [UInt8]] = [Array("lamp".utf8): Array("sesame".utf8)]

    static func security(_ certificate: CertificateText? = nil) -> CoAPSecurity {
        CoAPSecurity(preSharedKeys: PreSharedKeys(keys), certificate: certificate.map { Replaceable($0) })
    }

    private static let lamp = SecureClient.Credentials.key("lamp", "sesame")

    @Test(
        "a device gets in with its key, by each cipher suite that devices have, with messages of every size",
        arguments: [
            "+PSK:-CIPHER-ALL:+AES-128-CCM-8:-MAC-ALL:+AEAD", "+PSK:-CIPHER-ALL:+AES-128-CCM:-MAC-ALL:+AEAD",
            "+PSK:-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD", "+PSK:-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA256",
            "+ECDHE-PSK:-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA256",
            "+ECDHE-PSK:-CIPHER-ALL:+CHACHA20-POLY1305:-MAC-ALL:+AEAD",
        ]
    )
    func suites(words: String) throws {
        let priorities = "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:\(words)"
        let client = try SecureClient(.datagrams, Self.lamp, priorities: priorities)
        let server = try SecureServer(Self.security(), .datagrams)
        try carry(client, server)
        #expect(client.isEstablished, "\(words)")
        #expect(server.established == .some(TransportIdentity(name: "lamp", key: Array("sesame".utf8))))
        for size in [1, 4, 500, CoAPResponse.largestMessage] {
            let message = [UInt8](repeating: 7, count: size)
            client.send(message)
            #expect(server.send(message), "\(size)")
            #expect(server.outgoing.allSatisfy { $0.count <= SecureContext.largestRecord })
            try carry(client, server)
            #expect(server.received.last == message)
            #expect(client.receive() == message)
        }
    }

    @Test(
        "what is not safe any more is not spoken",
        arguments: [
            ("+PSK:-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA1", lamp), ("+DHE-PSK", lamp),
            ("+RSA:+DHE-RSA", .certificate(nil)),
        ]
    )
    func weakSuites(words: String, credentials: SecureClient.Credentials) throws {
        for transport in [SecureTransport.datagrams, .connections] {
            let version = transport == .datagrams ? "DTLS1.2" : "TLS1.2"
            let client = try SecureClient(
                transport,
                credentials,
                priorities: "NORMAL:-VERS-ALL:+VERS-\(version):-KX-ALL:\(words)"
            )
            let server = try SecureServer(Self.security(TestCertificates().listener()), transport)
            try carry(client, server)
            #expect(!client.isEstablished && server.isOver)
            #expect(server.refusals.map(\.words) == ["no cipher suite in common"])
        }
    }

    @Test(
        "the wrong key, and a name that nobody knows, get nobody in and have words",
        arguments: [SecureTransport.datagrams, .connections],
        [
            ("lamp", "wrong"), ("lamp", "sesame\0"), ("nobody", "sesame"), ("lamp\0", "sesame"), ("lamp\0x", "sesame"),
            ("LAMP", "sesame"),
        ]
    )
    func wrongKeys(transport: SecureTransport, credentials: (String, String)) throws {
        let client = try SecureClient(transport, .key(credentials.0, credentials.1))
        let server = try SecureServer(Self.security(), transport)
        try carry(client, server)
        #expect(server.established == nil)
        #expect(!client.isEstablished)
        server.now = server.now + .seconds(2)
        server.goOn()
        let told = try #require(server.refusals.first)
        #expect(server.refusals.count == 1)
        let isKnown = credentials.0 == "lamp"
        #expect(told.words == (isKnown ? HandshakeWords.notProven : HandshakeWords.unknownKey))
        #expect(told.identity == credentials.0)
        if !isKnown, transport == .datagrams { #expect(client.alert == GNUTLS_A_UNKNOWN_PSK_IDENTITY) }
    }

    @Test("a handshake that does not go on is over after its time, and told once")
    func timeout() throws {
        let client = try SecureClient(.datagrams, .key("lamp", "wrong"))
        let server = try SecureServer(Self.security(), .datagrams)
        try carry(client, server)
        for second in [2, 10, 29, 31] {
            server.now = server.now + .seconds(Int64(second))
            server.goOn()
        }
        #expect(server.isOver)
        #expect(server.refusals.map(\.words) == [HandshakeWords.notProven])
        let silent = try SecureServer(Self.security(), .connections)
        silent.now = silent.now + .seconds(31)
        silent.goOn()
        #expect(silent.isOver)
        #expect(silent.refusals.map(\.words) == [HandshakeWords.tooSlow])
    }

    @Test("a key that is another one by the end of the handshake gets nobody in")
    func changedKey() throws {
        let security = Self.security()
        let client = try SecureClient(.datagrams, Self.lamp)
        let server = try SecureServer(security, .datagrams)
        try carry(client, server) { fromClient, bytes in
            // Its Finished is the first record that is encrypted.
            if fromClient, bytes[4] == 1 { security.preSharedKeys?.replace([Array("lamp".utf8): [1]]) }
            return [bytes]
        }
        #expect(server.established == nil)
        #expect(server.refusals.map(\.words) == [HandshakeWords.outdated])
        #expect(!server.send([1]))
    }

    @Test(
        "either end says goodbye, and nothing is sent after it",
        arguments: [SecureTransport.datagrams, .connections]
    )
    func goodbye(transport: SecureTransport) throws {
        for isServerFirst in [true, false] {
            let client = try SecureClient(transport, Self.lamp)
            let server = try SecureServer(Self.security(), transport)
            try carry(client, server)
            if isServerFirst { server.session?.end() } else { client.goodbye() }
            try carry(client, server)
            #expect(client.receive() == nil)
            #expect(client.failure == 0)
            #expect(server.isOver == !isServerFirst)
            #expect(!server.send([1]))
        }
    }

    @Test("what comes with the last record of a handshake comes after the peer is known")
    func order() throws {
        let client = try SecureClient(.connections, Self.lamp)
        let server = try SecureServer(Self.security(), .connections)
        client.shakeHands()
        for bytes in client.outgoing { try server.take(bytes) }
        client.outgoing = []
        client.incoming.append(contentsOf: server.outgoing)
        client.shakeHands()
        client.send([1, 2, 3])
        try server.take(client.outgoing.flatMap { $0 })
        #expect(server.established == .some(TransportIdentity(name: "lamp", key: Array("sesame".utf8))))
        #expect(server.received == [[1, 2, 3]])
    }

    @Test("over TLS bytes are whole however they are cut, in both versions", arguments: ["1.2", "1.3"])
    func cuts(version: String) throws {
        let priorities = "NORMAL:-VERS-ALL:+VERS-TLS\(version):+ECDHE-PSK:+PSK"
        for size in [1, 2, 3, 7, 1_000] {
            let client = try SecureClient(.connections, Self.lamp, priorities: priorities)
            let server = try SecureServer(Self.security(), .connections)
            let network = { (_: Bool, bytes: [UInt8]) in
                stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
            }
            try carry(client, server, network)
            #expect(client.isEstablished)
            let large = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            #expect(server.send(large))
            for start in stride(from: 0, to: large.count, by: 16_384) {
                client.send(Array(large[start..<min(start + 16_384, large.count)]))
            }
            try carry(client, server, network)
            #expect(server.received.flatMap { $0 } == large)
            var read: [UInt8] = []
            while let part = client.receive() { read += part }
            #expect(read == large)
        }
    }

    @Test("a renegotiation inside a session is refused, and the session goes on")
    func renegotiation() throws {
        let client = try SecureClient(.datagrams, Self.lamp)
        let server = try SecureServer(Self.security(), .datagrams)
        try carry(client, server)
        client.renegotiate()
        try carry(client, server)
        #expect(!server.isOver)
        #expect(server.send([5]))
    }
}
