import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// A slow client costs a bounded amount of memory, and nobody else a message.
@Suite struct BoundTests {
    private let test = TestBroker()

    @Test(
        "drops QoS 0 for a client whose connection is full, counts it, and bounds what is held",
        arguments: ProtocolVersion.allCases
    )
    func qos0(_ version: ProtocolVersion) throws {
        let slow = try test.connect("slow", version)
        let fast = try test.connect("fast", version)
        for client in [slow, fast] { try client.subscribe("t") }
        slow.setWritable(false)
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 500_000)
        for _ in 0..<40 { try publisher.publish("t", text) }
        #expect(slow.outputBytes < 12_000_000)
        #expect(test.broker.statistics.dropped > 15)
        #expect(try fast.messages().count == 40)
        slow.setWritable(true)
        let got = try slow.messages().count
        #expect(got + Int(test.broker.statistics.dropped) == 40)
        try publisher.publish("t", "again")
        #expect(try slow.texts() == ["again"])
    }

    @Test(
        "queues QoS 1 and 2 for a client whose connection is full, and sends it all when it takes more",
        arguments: ProtocolVersion.allCases
    )
    func qos1(_ version: ProtocolVersion) throws {
        let slow = try test.connect("slow", version)
        try slow.subscribe("t", qos: .exactlyOnce)
        slow.setWritable(false)
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 50_000)
        for number in 0..<100 {
            try publisher.publish("t", "\(number)" + text, qos: number % 2 == 0 ? .atLeastOnce : .exactlyOnce)
        }
        #expect(slow.outputBytes < 400_000)
        slow.setWritable(true)
        #expect(try slow.texts() == (0..<100).map { "\($0)" + text })
        #expect(test.broker.statistics.dropped == 0)
    }

    @Test(
        "ends the connection of a client that asks on and on and reads no answer",
        arguments: ProtocolVersion.allCases
    )
    func answers(_ version: ProtocolVersion) throws {
        let client = try test.connect("a", version)
        try client.subscribe("t")
        client.setWritable(false)
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 1_000_000)
        for _ in 0..<12 { try publisher.publish("t", text) }
        let ask = client.encoded(.publish(Publish(topic: try TopicName("x"), qos: .atLeastOnce, packetID: 1)))
        var asks = ByteBuffer()
        for _ in 0..<1_000 { asks.writeImmutableBuffer(ask) }
        for _ in 0..<500 where !client.isClosed { client.send(asks) }
        #expect(client.isClosed)
        #expect(client.outputBytes == 0)
    }

    @Test("writes once a tick, whatever came in it", arguments: ProtocolVersion.allCases)
    func coalesces(_ version: ProtocolVersion) throws {
        let subscriber = try test.connect("s", version)
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p", version)
        let before = (subscriber.writes, publisher.writes)
        var bytes = ByteBuffer()
        for number in 1...50 as ClosedRange<PacketID> {
            bytes.writeImmutableBuffer(
                publisher.encoded(
                    .publish(Publish(topic: try TopicName("t"), qos: QoS.allCases[Int(number) % 3], packetID: number))
                )
            )
        }
        publisher.send(bytes)
        #expect(subscriber.writes == before.0 + 1)
        #expect(publisher.writes == before.1 + 1)
        #expect(try subscriber.takePublishes().count == 50)
    }

    @Test("counts messages received, sent and dropped")
    func statistics() throws {
        let subscribers = try (0..<3).map { try test.connect("\($0)") }
        for subscriber in subscribers { try subscriber.subscribe("t", qos: .exactlyOnce) }
        let publisher = try test.connect("p")
        for qos in QoS.allCases { try publisher.publish("t", qos: qos) }
        try publisher.publish("nobody")
        #expect(test.broker.statistics.published == 4)
        #expect(test.broker.statistics.delivered == 9)
        #expect(test.broker.statistics.dropped == 0)
    }
}
