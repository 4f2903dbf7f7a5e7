import BrokerTestSupport
import CGnuTLS
import CoAPGateway
import NIOCore
import Testing

/// Handshakes over a network that loses, doubles and delays datagrams.
@Suite(.timeLimit(.minutes(1))) struct HandshakeLossTests {
    /// Goes on until both have what they want, or half a minute is over.
    private func struggle(
        _ client: SecureClient,
        _ server: SecureServer,
        _ network: (Bool, [UInt8]) -> [[UInt8]]
    ) throws {
        let deadline = NIODeadline.now() + .seconds(25)
        while server.established == nil || !client.isEstablished, NIODeadline.now() < deadline {
            server.now = .now()
            if let session = server.session, session.dueAt <= server.now { server.goOn() }
            try carry(client, server, network)
            // GnuTLS's retransmissions go by the clock.
            var pause = timespec(tv_sec: 0, tv_nsec: 2_000_000)
            nanosleep(&pause, nil)
        }
    }

    @Test(
        "a handshake gets through where a third of the datagrams is lost, doubled or late",
        arguments: 1...16 as ClosedRange<UInt64>
    )
    func loss(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var late: [Bool: [UInt8]] = [:]
        let certificates = TestCertificates()
        let security = SecureSessionTests.security(certificates.listener())
        let credentials: SecureClient.Credentials =
            seed.isMultiple(of: 2) ? .key("lamp", "sesame") : .certificate(certificates.authority.sign("lamp"))
        let client = try SecureClient(.datagrams, credentials)
        let server = try SecureServer(security, .datagrams)
        try struggle(client, server) { fromClient, bytes in
            switch Int.random(in: 0..<10, using: &generator) {
            case 0...2: return []
            case 3: return [bytes, bytes]
            case 4:
                // It comes after the next one.
                defer { late[fromClient] = bytes }
                return late[fromClient].map { [$0] } ?? []
            default:
                defer { late[fromClient] = nil }
                return [bytes] + (late[fromClient].map { [$0] } ?? [])
            }
        }
        #expect(client.isEstablished)
        #expect(server.established??.name == "lamp")
        #expect(server.refusals.allSatisfy { $0.words == HandshakeWords.notProven })
        client.send([1, 2, 3])
        try carry(client, server)
        #expect(server.received.last == [1, 2, 3])
        #expect(!server.isOver)
        #expect(client.failure == nil)
    }

    @Test("a handshake's messages are sent again when time says so, without end of session")
    func retransmission() throws {
        let client = try SecureClient(.datagrams, .key("lamp", "sesame"), retransmission: 10_000)
        let server = try SecureServer(SecureSessionTests.security(), .datagrams)
        var flights = 0
        // Its whole first flight is lost.
        try carry(client, server) { fromClient, bytes in
            let isHelloVerifyRequest = bytes[13] == 3
            if fromClient || isHelloVerifyRequest { return [bytes] }
            flights += 1
            return []
        }
        #expect(flights > 0)
        #expect(server.session?.dueAt ?? .distantFuture < server.now + .seconds(1))
        try struggle(client, server) { _, bytes in [bytes] }
        #expect(client.isEstablished)
    }
}
