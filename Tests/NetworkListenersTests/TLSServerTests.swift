import BrokerCore
import NIOCore
import NIOEmbedded
import NIOSSL
import NetworkListeners
import Testing

@Suite struct TLSServerTests {
    private let certificates: TestCertificates
    private let reports = Reports()

    init() throws { certificates = try TestCertificates.shared.get() }

    private func server(
        _ name: String = "broker",
        clientAuthority: String? = nil,
        identity: CertificateIdentity? = nil,
        handshakes: Int = 100
    ) throws -> TLSServer {
        let context = try certificates.files(name, clientAuthority: clientAuthority).load(applicationProtocol: "mqtt")
        return TLSServer(context, identity: identity, handshakes: Quota.Limit(total: handshakes)) { [reports] in
            reports.add($0)
        }
    }

    @Test("bytes pass both ways once the handshake is done") func bytesPassBothWays() throws {
        let pair = try TLSPair(server(), certificates.client())
        #expect(pair.identities == [nil])
        try pair.client.writeOutbound(ByteBuffer(string: "hello"))
        try pair.pump()
        #expect(try pair.channel.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "hello"))
        try pair.channel.writeOutbound(ByteBuffer(string: "world"))
        try pair.pump()
        #expect(try pair.client.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "world"))
        #expect(reports.words.isEmpty)
    }

    @Test(
        "ALPN names our protocol to clients that know it, and lets others in",
        arguments: [(["mqtt"], "mqtt"), (["h2", "mqtt"], "mqtt"), (["h2"], nil), ([], nil)]
    )
    func alpnNamesOurProtocol(
        offered: [String],
        agreed: String?
    ) throws {
        let pair = try TLSPair(server(), certificates.client { $0.applicationProtocols = offered })
        #expect(pair.negotiated == .some(agreed))
        #expect(pair.identities == [nil])
    }

    @Test(
        "a certificate of the authority gives its name",
        arguments: [
            (CertificateIdentity.commonName, "lamp", "lamp"), (.commonName, "uri", "uri"),
            (.subjectAlternativeName, "lamp", "lamp.example"), (.subjectAlternativeName, "uri", "urn:lamp"),
        ]
    )
    func certificateAuthorityGivesName(
        identity: CertificateIdentity,
        client: String,
        name: String
    ) throws {
        let pair = try TLSPair(server(clientAuthority: "ca", identity: identity), certificates.client(client))
        #expect(pair.identities == [name])
    }

    @Test("a certificate gives its name in every version of TLS", arguments: [TLSVersion.tlsv12, .tlsv13])
    func certificateGivesNameEvery(version: TLSVersion) throws {
        let client = try certificates.client("lamp") {
            $0.minimumTLSVersion = version
            $0.maximumTLSVersion = version
        }
        let pair = try TLSPair(server(clientAuthority: "ca", identity: .commonName), client)
        #expect(pair.identities == ["lamp"])
    }

    @Test(
        "a client without a good certificate that names it is refused",
        arguments: [
            ("rogue", "the client's certificate is out of date, or of another authority"),
            ("expired", "the client's certificate is out of date, or of another authority"),
            (nil, "the client shows no certificate"), ("nameless", "the client's certificate has no Common Name"),
        ]
    )
    func clientWithoutGoodCertificate(client: String?, words: String) throws {
        let pair = try TLSPair(server(clientAuthority: "ca", identity: .commonName), certificates.client(client))
        #expect(pair.identities.isEmpty)
        #expect(!pair.channel.isActive)
        #expect(reports.words == [words])
        #expect(reports.all.first?.address.description == "192.0.2.1:50000")
    }

    @Test("one address has half of the handshakes under way, and gives one back when it is over")
    func oneAddressHalfHandshakes() throws {
        let server = try server(handshakes: 2)
        let silent = try TLSPair(server, nil)
        #expect(throws: (any Error).self) { try TLSPair(server, certificates.client()) }
        #expect(reports.words == ["too many handshakes are under way"])
        #expect(try TLSPair(server, certificates.client(), from: "192.0.2.2").identities == [nil])
        silent.channel.close(promise: nil)
        try silent.pump()
        #expect(try TLSPair(server, certificates.client()).identities == [nil])
    }

    @Test("TLS older than 1.2 is refused") func tlsOlder12() throws {
        let pair = try TLSPair(
            server(),
            certificates.client {
                $0.minimumTLSVersion = .tlsv1
                $0.maximumTLSVersion = .tlsv11
            }
        )
        #expect(pair.identities.isEmpty)
        #expect(reports.words == ["the client speaks no TLS as new as 1.2"])
    }

    @Test(
        "a client that speaks in the clear is closed, and the log says what it speaks",
        arguments: [
            ("\u{10}\u{0C}\u{00}\u{04}MQTT\u{05}\u{02}\u{00}\u{00}\u{00}\u{00}", "the client does not speak TLS"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the client speaks HTTP without TLS"),
        ]
    )
    func clientSpeaksClearClosed(
        text: String,
        words: String
    ) throws {
        let pair = try TLSPair(server(), nil)
        try pair.client.writeOutbound(ByteBuffer(string: text))
        try pair.pump()
        #expect(!pair.channel.isActive)
        #expect(pair.identities.isEmpty)
        #expect(reports.words == [words])
    }

    @Test(
        "a client that does not know our authority is told of in words of ours",
        arguments: [TLSVersion.tlsv12, .tlsv13]
    )
    func clientDoesNotKnow(version: TLSVersion) throws {
        let client = try certificates.client {
            $0.trustRoots = .certificates([])
            $0.minimumTLSVersion = version
            $0.maximumTLSVersion = version
        }
        let pair = try TLSPair(server(), client)
        #expect(pair.identities.isEmpty)
        let words = try #require(reports.words.first)
        #expect(words.contains("our certificate"))
        #expect(!words.contains("SSL") && !words.contains("/"))
    }

    @Test("a handshake that never ends is cut") func handshakeNeverEndsCut() throws {
        let pair = try TLSPair(server(), nil, timeout: .seconds(10))
        pair.channel.embeddedEventLoop.advanceTime(by: .seconds(9))
        #expect(pair.channel.isActive)
        pair.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(reports.words == ["the handshake took too long"])
        #expect(!pair.channel.isActive)
    }

    @Test("a connection closes at once while its handshake is under way") func connectionClosesOnceWhile() throws {
        let pair = try TLSPair(server(), nil)
        pair.channel.close(promise: nil)
        #expect(!pair.channel.isActive)
        try pair.pump()
        #expect(pair.identities.isEmpty)
        #expect(reports.words == ["the connection was closed"])
        #expect(reports.all.map(\.isOrdinary) == [true])
    }

    @Test("a client that does not agree to the end of a connection has two seconds to do so") func clientDoesNotAgree()
        throws
    {
        let pair = try TLSPair(server(), certificates.client())
        pair.channel.close(promise: nil)
        pair.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1_999))
        #expect(pair.channel.isActive)
        pair.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(!pair.channel.isActive)
    }

    @Test("a client that leaves in the midst of it is nobody's mistake") func clientLeavesMidstNobodys() throws {
        let pair = try TLSPair(server(), nil)
        pair.channel.close(promise: nil)
        pair.channel.pipeline.fireChannelInactive()
        try pair.pump()
        #expect(reports.all.map(\.isOrdinary) == [true])
    }

    @Test("another certificate is for connections to come") func anotherCertificateConnectionsCome() throws {
        let server = try server()
        let old = try TLSPair(server, certificates.client())
        server.replace(try certificates.files("renewed").load(applicationProtocol: "mqtt"))
        let new = try TLSPair(server, certificates.client())
        let shown = (try old.shownCertificate(), try new.shownCertificate())
        #expect(shown.0 != shown.1)
        try old.client.writeOutbound(ByteBuffer(string: "still here"))
        try old.pump()
        #expect(try old.channel.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "still here"))
    }
}
