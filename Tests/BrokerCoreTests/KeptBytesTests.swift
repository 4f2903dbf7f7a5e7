import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct KeptBytesTests {
    private let long = String(repeating: "t", count: 60_000)

    @Test(
        "Topic Aliases that a client has set are counted as long as the connection lasts, and refused when there is no room"
    )
    func aliases() throws {
        let test = TestBroker { $0.bufferBytes = 2_000_000 }
        func set(_ alias: UInt16, _ client: TestClient) throws {
            var publish = Publish(topic: try TopicName(long + "\(alias)"))
            publish.properties.topicAlias = alias
            client.send(.publish(publish))
        }
        let client = try test.connect("c")
        for alias in 1...10 { try set(UInt16(alias), client) }
        #expect(test.broker.usage.bufferBytes > 600_000)
        try set(1, client)
        #expect(try client.ping())
        let other = try test.connect("d")
        for alias in 1...10 where !other.isClosed { try set(UInt16(alias), other) }
        #expect(try other.wasEnded(.quotaExceeded))
        client.disconnect()
        #expect(test.broker.usage.bufferBytes == 0)
    }

    @Test("QoS 2 Packet Identifiers that are never released are counted for their session")
    func received() throws {
        let test = TestBroker { $0.receiveMaximum = 65_535 }
        let client = try test.connectPersistent("c", .v3_1_1)
        let before = test.broker.usage.sessionBytes
        for number in 1...1_000 {
            client.feed(
                client.encoded(
                    .publish(Publish(topic: try TopicName("t"), qos: .exactlyOnce, packetID: PacketID(number)))
                )
            )
        }
        test.flush()
        client.drop()
        #expect(test.broker.usage.sessionBytes >= before + 7_000)
    }

    @Test("Topic Filters count for their session, those of shares it has left while it holds their messages, too")
    func filters() throws {
        let test = TestBroker()
        let client = try test.connect("c") { $0.properties.receiveMaximum = 1 }
        let before = test.broker.usage.sessionBytes
        try client.subscribe("\(long)/+", qos: .atLeastOnce)
        #expect(test.broker.usage.sessionBytes > before + 120_000)
        _ = try client.unsubscribe("\(long)/+")
        #expect(test.broker.usage.sessionBytes == before)
        let share = "$share/g/" + String(repeating: "s", count: 1_000)
        try client.subscribe(share, qos: .atLeastOnce)
        try test.connect("p").publish(String(repeating: "s", count: 1_000), "x", qos: .atLeastOnce)
        _ = try client.unsubscribe(share)
        #expect(test.broker.usage.sessionBytes > before + 1_000)
    }

    @Test(
        "subscriptions, sessions and wills beyond the bytes of all sessions are refused",
        arguments: ProtocolVersion.allCases
    )
    func sessionBytes(_ version: ProtocolVersion) throws {
        let test = TestBroker {
            $0.sessionBytes = 1_000_000
            $0.sessionByteShares = Shares(perAddress: 300_000)
        }
        let client = try test.connect("c", version)
        let reasons = try (0..<5).flatMap { try client.subscribe("\($0)/\(long)") }
        #expect(reasons.prefix(2).allSatisfy { !$0.isError })
        #expect(reasons.last == (version == .v5 ? .quotaExceeded : .unspecifiedError))
        let big = try test.open(version).connect("big") {
            $0.will = try? Will(topic: TopicName("w"), payload: ByteBuffer(repeating: 1, count: 60_000))
        }
        #expect(big?.reasonCode.isError == true)
        // Others have room.
        let other = try test.connect("o", version, from: "198.51.100.2")
        #expect(try other.subscribe(long).allSatisfy { !$0.isError })
        client.disconnect()
        other.disconnect()
        #expect(test.broker.usage == MemoryUsage())
    }

    @Test("all queues together hold no more than their limit; the session that gets one more pays for it")
    func queuedBytes() throws {
        let test = TestBroker {
            $0.queuedBytes = 1_000_000
            $0.queuedByteShares = Shares(perAddress: 1_000_000)
        }
        let names = (0..<20).map { "s\($0)" }
        for name in names {
            let client = try test.connectPersistent(name, from: "198.51.100.1")
            try client.subscribe("t/\(name)", qos: .atLeastOnce)
            client.drop()
        }
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 10_000)
        for _ in 0..<20 {
            for name in names { try publisher.publish("t/\(name)", text, qos: .atLeastOnce) }
            #expect(test.broker.usage.queuedBytes <= 1_000_000)
        }
        // The last tenth is for others: a client that is connected gets everything.
        let live = try test.connect("live", from: "198.51.100.9")
        try live.subscribe("live", qos: .atLeastOnce)
        for number in 0..<50 { try publisher.publish("live", "\(number)", qos: .atLeastOnce) }
        #expect(try live.messages().count == 50)
        for name in names { #expect(test.broker.pendingMessages(of: .client(name)) > 0) }
        // What is stored counts the same after a restart.
        let before = test.broker.usage.queuedBytes
        let again = test.restarted()
        #expect(again.broker.usage.queuedBytes == before)
    }

    @Test("one address's queues have their share of all, and leave room for others'")
    func queueShare() throws {
        let test = TestBroker { $0.queuedBytes = 1_000_000 }
        for (name, address) in [("a", "198.51.100.1"), ("b", "198.51.100.2")] {
            let client = try test.connectPersistent(name, from: address)
            try client.subscribe(name, qos: .atLeastOnce)
            client.drop()
        }
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 10_000)
        for _ in 0..<200 { try publisher.publish("a", text, qos: .atLeastOnce) }
        #expect((40...50).contains(test.broker.pendingMessages(of: .client("a"))))
        for _ in 0..<20 { try publisher.publish("b", text, qos: .atLeastOnce) }
        #expect(test.broker.pendingMessages(of: .client("b")) == 20)
    }
}
