import BrokerCore
import CoreRuntime
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

    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]

    private static let binary: [UInt8] =
        signature + [
            0x21, 0x11, 0, 12, 203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x67, 0x07, 0x5b,
        ]

    static let headers: [([UInt8], String)] = [
        (Array("PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\r\n".utf8), "203.0.113.7:4711"),
        (Array("PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n".utf8), "[2001:db8::7]:4711"), (binary, "203.0.113.7:4711"),
        (Array("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:127.0.0.1 4711 0\r\n".utf8), "203.0.113.7:4711"),
        // A health check of the proxy itself: the other end is the client.
        (Array("PROXY UNKNOWN\r\n".utf8), "192.0.2.1:50000"),
        (Array("PROXY UNKNOWN ffff::1 what ever\r\n".utf8), "192.0.2.1:50000"),
        (signature + [0x20, 0x99, 0, 3, 1, 2, 3], "192.0.2.1:50000"), (signature + [0x21, 0, 0, 0], "192.0.2.1:50000"),
        (signature + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0x61, count: 216), "192.0.2.1:50000"),
    ]

    /// What the specification's receiver must abort on (§2.1).
    private static let malformedLines = [
        "TCP4 192.0.2.5 127.0.0.1 6275 65536", "TCP4 192.0.2.5 127.0.0.1 65536 1883",
        "TCP4 192.0.2.5 127.0.0.256 6275 1234", "TCP4 192.0.2.256 127.0.0.1 6275 1234",
        "TCP6 192.0.2.5 127.0.0.1 6275 1234", "TCP6 2001:db8::7 127.0.0.1 6275 1234",
        "TCP4 2001:db8::7 ::1 6275 1234", "TCP4 192.0.2.5 127.0.0.1 +6275 1234",
        "TCP4 192.0.2.5 127.0.0.1 06275 1234", "TCP4 192.0.2.5 127.0.0.1 6275", "TCP4 192.0.2.5 127.0.0.1 6275 ",
        "TCP4  192.0.2.5 127.0.0.1 6275 1234", "TCP4 192.0.2.5 127.0.0.1 6275 1234 ", "TCP5 1.2.3.4 1.2.3.4 1 1",
        "UNKNOWN\u{301}", "TCP4 192.0.2.5\u{0} 127.0.0.1 6275 1234",
    ]

    /// Version and command, family and transport, and how many bytes follow (§2.2).
    private static let malformedBlocks: [(first: UInt8, second: UInt8, count: Int)] =
        (0..<12).map { (0x21, 0x11, $0) } + [(0x21, 0x10, 12), (0x21, 0x13, 12), (0x21, 0x41, 12), (0x22, 0x11, 12)]
        + [(0x31, 0x11, 12), (0x21, 0x21, 35), (0x21, 0x31, 215)]

    private static var malformedHeaders: [[UInt8]] {
        let lines = malformedLines.map { [UInt8]("PROXY \($0)\r\n".utf8) }
        let blocks = malformedBlocks.map { block -> [UInt8] in
            let rest = (0..<block.count).map { UInt8($0 % 7 + 1) }
            return signature + [block.first, block.second, 0, UInt8(block.count)] + rest
        }
        return lines + blocks
    }

    @Test("a header that is malformed closes the connection, whichever part of it is", arguments: malformedHeaders)
    func malformed(_ header: [UInt8]) throws {
        let broker = EmbeddedBroker()
        let client = try broker.open(isBehindProxy: true)
        var bytes = ByteBuffer(bytes: header)
        bytes.writeImmutableBuffer(client.encoded(.connect(Connect(clientID: "a"))))
        try client.feed(bytes)
        broker.run()
        #expect(client.isClosed)
        #expect(try client.writes().isEmpty)
    }

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

    @Test("the log is told of a connection without a header, and of what speaks no MQTT")
    func logToldConnectionWithout() throws {
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
