import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct MemoryCostTests {
    /// So many User Properties, of some thirty bytes each.
    private func userProperties(_ count: Int) -> PublishProperties {
        var properties = PublishProperties()
        properties.userProperties = UserProperties((0..<count).map { UserProperty("key \($0)", "value of the key") })
        return properties
    }

    @Test("a message costs what it takes in memory, User Properties included")
    func userPropertiesCount() throws {
        let plain = Message.cost(topic: 1, payload: 1, properties: nil)
        #expect(plain > 2)
        #expect(Message.cost(topic: 1, payload: 1, properties: userProperties(1_000)) > plain + 25_000)
    }

    @Test("retained messages are bounded by what they take, User Properties included")
    func retainedProperties() throws {
        let test = TestBroker { $0.retainedBytes = 1_000_000 }
        let publisher = try test.connect("p")
        let reasons = try (0..<40).map { number in
            try publisher.publish("r/\(number)", "x", qos: .atLeastOnce, retain: true) {
                $0.properties = userProperties(1_000)
            }
        }
        #expect(reasons.contains(.quotaExceeded))
        #expect(test.broker.retainedCount < 31)
    }

    @Test("a retained topic costs a node for each of its levels")
    func levels() throws {
        let test = TestBroker { $0.retainedBytes = 1_000_000 }
        let publisher = try test.connect("p")
        for number in 0..<200 {
            try publisher.publish(
                "\(number)" + String(repeating: "/", count: 199),
                "x",
                qos: .atLeastOnce,
                retain: true
            )
        }
        #expect(test.broker.retainedCount < 100)
    }

    @Test("topics that share levels share what these cost")
    func sharedLevels() throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        let path = String(repeating: "level/", count: 100)
        try publisher.publish(path + "a", "x", qos: .atLeastOnce, retain: true)
        let one = test.broker.retainedBytes
        try publisher.publish(path + "b", "x", qos: .atLeastOnce, retain: true)
        #expect(test.broker.retainedBytes < one + one / 10)
    }

    @Test("a queue is bounded by what its messages take, User Properties included, also after a restart")
    func queueProperties() throws {
        let limits = { (queue: inout QueueLimits) in queue.bytes = 500_000 }
        let test = TestBroker(queue: limits)
        let client = try test.connectPersistent("s")
        try client.subscribe("t", qos: .atLeastOnce)
        client.drop()
        let publisher = try test.connect("p")
        for number in 0..<20 {
            try publisher.publish("t", "\(number)", qos: .atLeastOnce) { $0.properties = userProperties(1_000) }
        }
        let before = test.broker.pendingMessages(of: .client("s"))
        #expect(before < 18)
        test.storeAll()
        let again = TestBroker(store: test.store, time: test.broker.now, queue: limits)
        #expect(again.broker.pendingMessages(of: .client("s")) == before)
        // One more pushes out one, as it would have before.
        try again.connect("p").publish("t", "last", qos: .atLeastOnce) { $0.properties = userProperties(1_000) }
        #expect(again.broker.pendingMessages(of: .client("s")) == before)
    }

    @Test("a will, a correlation and a password have memory of their own, and don't keep the packet they came in")
    func ownMemory() throws {
        var connect = Connect(clientID: "c", userName: "u", password: ByteBuffer(string: "secret"))
        connect.will = try Will(topic: TopicName("w"), payload: ByteBuffer(string: "gone"))
        connect.will?.properties.correlationData = ByteBuffer(string: "1")
        connect.properties.userProperties = [UserProperty("k", String(repeating: "v", count: 60_000))]
        var bytes = ByteBuffer()
        PacketEncoder.encode(.connect(connect), version: .v5, into: &bytes)
        var decoder = PacketDecoder(role: .server)
        guard case .connect(let decoded)? = try decoder.decode(from: &bytes) else {
            Issue.record("no CONNECT")
            return
        }
        #expect(decoded.will?.payload.storageCapacity ?? .max < 1_000)
        #expect(decoded.will?.properties.correlationData?.storageCapacity ?? .max < 1_000)
        #expect(decoded.password?.storageCapacity ?? .max < 1_000)
    }
}
