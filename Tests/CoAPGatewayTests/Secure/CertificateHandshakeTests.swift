import CGnuTLS
import CoAPGateway
import NIOCore
import Testing

/// Who gets in with which certificate.
@Suite struct CertificateHandshakeTests {
    private let certificates = TestCertificates()

    private func shakeHands(
        _ transport: SecureTransport,
        _ own: CertificateWithKey?,
        identity: CoAPSecurity.CertificateIdentity = .commonName,
        asksPeers: Bool = true
    ) throws -> (client: SecureClient, server: SecureServer) {
        let security = CoAPSecurity(
            preSharedKeys: PreSharedKeys(SecureSessionTests.keys),
            certificate: Replaceable(certificates.listener(asksPeers: asksPeers)),
            identity: identity
        )
        let client = try SecureClient(transport, .certificate(own))
        let server = try SecureServer(security, transport)
        try carry(client, server)
        return (client, server)
    }

    private static let transports = [SecureTransport.datagrams, .connections]

    @Test("a certificate of the authority gets its name in, and keys get in at the same port", arguments: transports)
    func good(transport: SecureTransport) throws {
        for purpose in [nil, GNUTLS_KP_TLS_WWW_CLIENT, GNUTLS_KP_ANY] {
            let own = certificates.authority.sign("lamp", alternativeName: "lamp.example", purpose: purpose)
            let (client, server) = try shakeHands(transport, own)
            #expect(client.isEstablished)
            #expect(server.established == .some(TransportIdentity(name: "lamp", key: nil)))
            let byAlternative = try shakeHands(transport, own, identity: .subjectAlternativeName)
            #expect(byAlternative.server.established == .some(TransportIdentity(name: "lamp.example", key: nil)))
        }
        let security = SecureSessionTests.security(certificates.listener())
        let device = try SecureClient(transport, .key("lamp", "sesame"))
        let server = try SecureServer(security, transport)
        try carry(device, server)
        #expect(server.established == .some(TransportIdentity(name: "lamp", key: Array("sesame".utf8))))
    }

    @Test("a certificate that is not good gets nobody in, and the log says why", arguments: transports)
    func bad(transport: SecureTransport) throws {
        let authority = certificates.authority
        let server = GNUTLS_KP_TLS_WWW_SERVER
        let cases: [(CertificateWithKey?, String, gnutls_alert_description_t)] = [
            (certificates.rogue.sign("lamp"), "is not of an authority in client_ca", GNUTLS_A_UNKNOWN_CA),
            (authority.sign("lamp", days: -3 ... -1), "has expired", GNUTLS_A_CERTIFICATE_EXPIRED),
            (authority.sign("lamp", days: 1...3), "is not valid yet", GNUTLS_A_CERTIFICATE_EXPIRED),
            (
                authority.sign("lamp", purpose: server), "is not for clients (Extended Key Usage)",
                GNUTLS_A_UNSUPPORTED_CERTIFICATE
            ),
            (authority.sign(nil), "has no Common Name", GNUTLS_A_BAD_CERTIFICATE),
        ]
        for (own, words, alert) in cases {
            let (client, server) = try shakeHands(transport, own)
            #expect(server.established == nil && server.isOver)
            #expect(server.refusals.map(\.words) == ["the client's certificate \(words)"])
            _ = client.receive()
            #expect(client.alert == alert, "\(words)")
        }
        let nameless = try shakeHands(transport, authority.sign("lamp"), identity: .subjectAlternativeName)
        #expect(nameless.server.refusals.map(\.words) == ["the client's certificate has no Subject Alternative Name"])
        let (stranger, without) = try shakeHands(transport, nil)
        #expect(without.established == nil && without.isOver)
        #expect(without.refusals.map(\.words) == ["the client has shown no certificate"])
        _ = stranger.receive()
        let alert = transport == .datagrams ? GNUTLS_A_HANDSHAKE_FAILURE : GNUTLS_A_CERTIFICATE_REQUIRED
        #expect(stranger.alert == alert)
    }

    @Test("RFC 8446 §5 an alert in the clear, where all is to be encrypted, has words that tell what it may mean")
    func alertInTheClear() throws {
        let server = try SecureServer(SecureSessionTests.security(certificates.listener()), .connections)
        let client = try SecureClient(.connections, .certificate(certificates.authority.sign("lamp")))
        client.shakeHands()
        for bytes in client.outgoing { try server.take(bytes) }
        // unknown_ca, from who does not take our certificate.
        try server.take([21, 3, 3, 0, 2, 2, 48])
        #expect(server.isOver)
        #expect(server.refusals.map(\.words) == [HandshakeWords.unreadable])
    }

    @Test("where no certificate is asked for, whoever has no key is nobody", arguments: transports)
    func anonymous(transport: SecureTransport) throws {
        let (client, server) = try shakeHands(transport, nil, asksPeers: false)
        #expect(client.isEstablished)
        #expect(server.established == .some(nil))
    }

    @Test("another certificate serves the next handshake, and the sessions before go on", arguments: transports)
    func renewal(transport: SecureTransport) throws {
        let certificate = Replaceable(certificates.listener())
        let security = CoAPSecurity(preSharedKeys: nil, certificate: certificate)
        let server = try SecureServer(security, transport)
        let first = try SecureClient(transport, .certificate(certificates.authority.sign("lamp")))
        try carry(first, server)
        let session = server.session
        certificate.replace(TestCertificates(authority: certificates.rogue, rogue: certificates.authority).listener())
        try server.context.renewCredentials()
        #expect(server.send([1]))
        first.incoming.append(contentsOf: server.outgoing)
        server.outgoing = []
        #expect(first.receive() == [1])
        _ = session
    }

    @Test("files that no session can be made with are told by their names")
    func files() throws {
        let good = certificates.listener()
        func words(_ chain: [UInt8], _ key: [UInt8], _ authority: [UInt8]?) -> String {
            let text = CertificateText(files: good.files, chain: chain, privateKey: key, clientAuthority: authority)
            do throws(SecureContext.Failed) {
                let security = CoAPSecurity(certificate: Replaceable(text))
                _ = try SecureContext(security, .datagrams, now: .now())
                return ""
            } catch {
                return error.reason
            }
        }
        let own = certificates.authority.sign("broker")
        let other = certificates.authority.sign("other")
        let none = Array("none".utf8)
        #expect(words(own.certificate, own.key, nil) == "")
        #expect(words(none, own.key, nil) == "broker.pem is no certificate in PEM")
        #expect(words(own.certificate, none, nil).hasPrefix("broker.key is no private key that can be used"))
        #expect(words(own.certificate, other.key, nil) == "broker.key is not the key of the certificate broker.pem")
        #expect(words(own.certificate, own.key, none) == "ca.pem has no certificate in PEM")
    }
}
