import BrokerCore
import MQTTCodec
import MQTTTransport
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import Testing

/// MQTT connections that come through a proxy with a PROXY protocol header before them.
@Suite struct ProxyHeaderTests {
    /// Remembers where its clients come from.
    private final class Addresses: Authenticator, Sendable {
        private let addresses = NIOLockedValueBox<[String]>([])

        var seen: [String] { addresses.withLockedValue { $0 } }

        func authenticate(_ credentials: Credentials) -> Authentication {
            addresses.withLockedValue { $0.append(credentials.remoteAddress) }
            return .accepted(userName: nil)
        }
    }

    private static let binary: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12,
        203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x67, 0x07, 0x5b,
    ]

    static let headers: [([UInt8], String)] = [
        (Array("PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\r\n".utf8), "203.0.113.7:4711"),
        (Array("PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n".utf8), "[2001:db8::7]:4711"), (binary, "203.0.113.7:4711"),
        // A health check of the proxy itself: the other end is the client.
        (Array("PROXY UNKNOWN\r\n".utf8), "192.0.2.1:50000"),
    ]

    @Test(
        "the header's client is the client, however the bytes are cut",
        arguments: headers,
        MQTTChannelHandlerTests.loops
    )
    func client(_ header: ([UInt8], String), _ ownLoop: Bool) throws {
        let addresses = Addresses()
        let broker = EmbeddedBroker(ownLoop: ownLoop, authenticator: addresses)
        let whole = try broker.open(isBehindProxy: true)
        var bytes = ByteBuffer(bytes: header.0)
        bytes.writeImmutableBuffer(whole.encoded(.connect(Connect(clientID: "a"))))
        try whole.feed(bytes)
        broker.run()
        #expect(try whole.packets().map(\.type) == [.connack])
        let cut = try broker.open(isBehindProxy: true)
        for byte in bytes.readableBytesView { try cut.feed(ByteBuffer(bytes: [byte])) }
        try cut.send(.pingreq)
        #expect(try cut.packets().map(\.type) == [.connack, .pingresp])
        #expect(addresses.seen == [header.1, header.1])
    }

    @Test("a connection without the header is closed, and one that takes too long over it")
    func without() throws {
        let broker = EmbeddedBroker { $0.connectTimeout = 7 }
        let plain = try broker.open(isBehindProxy: true)
        try plain.send(.connect(Connect(clientID: "a")))
        #expect(plain.isClosed)
        #expect(try plain.writes().isEmpty)
        let slow = try broker.open(isBehindProxy: true)
        try slow.feed(ByteBuffer(string: "PROXY TCP4 203.0"))
        broker.channelLoop.advanceTime(by: .seconds(6))
        #expect(!slow.isClosed)
        broker.channelLoop.advanceTime(by: .seconds(1))
        #expect(slow.isClosed)
    }

    @Test("the time for the header is over when it has come")
    func inTime() throws {
        let broker = EmbeddedBroker { $0.connectTimeout = 7 }
        let client = try broker.open(isBehindProxy: true)
        try client.feed(ByteBuffer(bytes: Self.binary))
        try client.send(.connect(Connect(clientID: "a")))
        broker.channelLoop.advanceTime(by: .seconds(8))
        #expect(!client.isClosed)
    }

    /// What the log was told.
    private final class Told: Sendable {
        private let box = NIOLockedValueBox<[Event]>([])

        var details: [Event.Value?] {
            box.withLockedValue { $0.map { event in event.fields.first { $0.key == .detail }?.value } }
        }
        func add(_ event: Event) { box.withLockedValue { $0.append(event) } }
    }

    @Test func `the log is told of a connection without a header, and of what speaks no MQTT`() throws {
        let told = Told()
        let broker = EmbeddedBroker(events: EventLog(from: .info) { told.add($0) }) { $0.connectTimeout = 7 }
        let plain = try broker.open(isBehindProxy: true)
        try plain.send(.connect(Connect(clientID: "a")))
        let slow = try broker.open(isBehindProxy: true)
        try slow.feed(ByteBuffer(string: "PROXY TCP4 203.0"))
        broker.channelLoop.advanceTime(by: .seconds(8))
        try broker.open().feed(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
        try broker.open().feed(ByteBuffer(bytes: [0x16, 0x03, 0x01, 0x00]))
        broker.run()
        #expect(
            told.details == [
                .text("what the proxy's connection begins with is no PROXY protocol header"),
                .text("no PROXY protocol header came in time"),
                .text("the client speaks HTTP, which this listener does not"),
                .text("the client speaks TLS, which this listener does not"),
            ]
        )
    }
}
