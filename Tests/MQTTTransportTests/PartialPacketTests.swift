import BrokerCore
import CoreRuntime
import MQTTCodec
import NIOCore
import NIOEmbedded
import Testing

/// What is kept of packets that are not whole, of all connections together.
@Suite struct PartialPacketTests {
    /// CONNECT with a will of so many bytes.
    private func connect(_ client: EmbeddedClient, will size: Int, user: String? = nil) throws -> ByteBuffer {
        var connect = Connect(version: .v5, clientID: "c\(size)")
        connect.will = Will(
            topic: try TopicName("w"),
            payload: ByteBuffer(repeating: 0, count: size),
            qos: .atMostOnce,
            retain: false
        )
        connect.userName = user
        return client.encoded(.connect(connect))
    }

    @Test("half a CONNECT counts: the next one beyond the share of its address is refused, until the first is gone")
    func halfConnects() throws {
        let broker = EmbeddedBroker { $0.connectionBytes = 300_000 }
        let first = try broker.open()
        try first.feed(try connect(first, will: 120_000).getSlice(at: 0, length: 100_000) ?? ByteBuffer())
        broker.run()
        #expect(broker.bytes.used >= 100_000)
        let second = try broker.open()
        try second.feed(try connect(second, will: 120_000).getSlice(at: 0, length: 100_000) ?? ByteBuffer())
        broker.run()
        broker.channelLoop.advanceTime(by: .seconds(1))
        #expect(second.isClosed)
        try first.channel.close().wait()
        broker.run()
        #expect(broker.bytes.used == 0)
        let third = try broker.open()
        try third.feed(try connect(third, will: 120_000))
        broker.run()
        #expect(try third.packets().map(\.type) == [.connack])
        #expect(broker.bytes.used == 0)
    }

    @Test("a PUBLISH in parts counts, and what is behind it is not kept in its memory")
    func publishInParts() throws {
        let broker = EmbeddedBroker { $0.connectionBytes = 10_000_000 }
        let client = try broker.connect("c")
        let publish = try client.publish("a", String(repeating: "x", count: 500_000))
        for start in stride(from: 0, to: publish.readableBytes, by: 50_000) {
            let length = min(50_000, publish.readableBytes - start)
            var part = publish.getSlice(at: start, length: length) ?? ByteBuffer()
            // The last part comes with the beginning of the next packet.
            if start + length == publish.readableBytes { part.writeBytes([0x30]) }
            try client.feed(part)
            broker.run()
            if start > 0, start + length < publish.readableBytes { #expect(broker.bytes.used > start) }
        }
        #expect(broker.bytes.used == 0)
        #expect(!client.isClosed)
    }

    /// Answers when the test says so.
    private final class Slow: Authenticator, Sendable {
        let pending = PendingAuthentication()

        func authenticate(_ credentials: Credentials) -> Authentication { .pending(pending) }
    }

    @Test("a CONNECT that waits for its answer counts as long as it waits")
    func pendingConnect() throws {
        let slow = Slow()
        let broker = EmbeddedBroker(authenticator: slow) { $0.connectionBytes = 1_000_000 }
        let client = try broker.open()
        try client.feed(try connect(client, will: 60_000, user: "ann"))
        broker.run()
        #expect(broker.bytes.used >= 60_000)
        slow.pending.answer(.accepted(userName: "ann"))
        broker.run()
        #expect(try client.packets().map(\.type) == [.connack])
        #expect(broker.bytes.used == 0)
    }
}
