import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct QueueTests {
    private func offline(_ test: TestBroker, _ version: ProtocolVersion = .v5) throws {
        let client = try test.connectPersistent("s", version)
        try client.subscribe("t", qos: .exactlyOnce)
        client.drop()
    }

    private func publish(_ texts: [String], _ test: TestBroker, qos: QoS = .atLeastOnce) throws {
        let publisher = try test.connect("p")
        for text in texts { try publisher.publish("t", text, qos: qos) }
    }

    @Test(
        "[MQTT-4.5.0-1] keeps QoS 1 and 2 for a client that is away, and QoS 0 not",
        arguments: ProtocolVersion.allCases
    )
    func offlineQueue(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        try offline(test, version)
        try publish(["0"], test, qos: .atMostOnce)
        try publish(["1"], test, qos: .atLeastOnce)
        try publish(["2"], test, qos: .exactlyOnce)
        #expect(try test.connectPersistent("s", version).texts() == ["1", "2"])
    }

    @Test("drops the oldest when the queue is full, and counts it")
    func dropOldest() throws {
        let test = TestBroker(queue: { $0.messages = 3 })
        try offline(test)
        try publish(["1", "2", "3", "4", "5"], test)
        #expect(test.broker.statistics.dropped == 2)
        #expect(try test.connectPersistent("s").texts() == ["3", "4", "5"])
    }

    @Test("drops the newest when the queue is full, and counts it")
    func dropNewest() throws {
        let test = TestBroker(queue: {
            $0.messages = 3
            $0.whenFull = .dropNewest
        })
        try offline(test)
        try publish(["1", "2", "3", "4", "5"], test)
        #expect(test.broker.statistics.dropped == 2)
        #expect(try test.connectPersistent("s").texts() == ["1", "2", "3"])
    }

    @Test("ends the connection when the queue is full, and keeps what is queued", arguments: ProtocolVersion.allCases)
    func disconnects(_ version: ProtocolVersion) throws {
        let test = TestBroker(
            queue: {
                $0.messages = 2
                $0.whenFull = .disconnect
            },
            limits: { $0.inflightMessages = 1 }
        )
        let client = try test.connectPersistent("s", version)
        try client.subscribe("t", qos: .atLeastOnce)
        try publish(["1", "2", "3"], test)
        #expect(!client.isClosed)
        try publish(["4"], test)
        #expect(try client.wasEnded(.quotaExceeded))
        #expect(test.broker.statistics.dropped == 1)
        try publish(["5"], test)
        #expect(test.broker.statistics.dropped == 2)
        #expect(try test.connectPersistent("s", version).texts() == ["1", "2", "3"])
    }

    @Test("ends the connections of all whose queues overflow, though it be by each other's wills")
    func overflowsInTurn() throws {
        let test = TestBroker(
            queue: {
                $0.messages = 1
                $0.whenFull = .disconnect
            },
            limits: { $0.inflightMessages = 1 }
        )
        let clients = try (0..<4).map { number in
            let client = try test.connect("c\(number)") {
                $0.will = try? Will(
                    topic: TopicName("t/\(number + 1)"),
                    payload: ByteBuffer(string: "gone"),
                    qos: .atLeastOnce
                )
            }
            try client.subscribe("t/\(number)", qos: .atLeastOnce)
            return client
        }
        let publisher = try test.connect("p")
        for number in 0..<4 {
            for text in ["1", "2"] { try publisher.publish("t/\(number)", text, qos: .atLeastOnce) }
        }
        try publisher.publish("t/0", "3", qos: .atLeastOnce)
        for client in clients { #expect(client.isClosed) }
    }

    @Test("bounds the queue in bytes, and takes any one message when it is empty")
    func bytes() throws {
        let test = TestBroker(queue: { $0.bytes = 1_000 })
        try offline(test)
        try publish([String(repeating: "x", count: 2_000)], test)
        try publish(["a", "b"], test)
        #expect(try test.connectPersistent("s").texts() == ["a", "b"])
        try test.connectPersistent("s").drop()
        try publish([String(repeating: "x", count: 2_000)], test)
        #expect(try test.connectPersistent("s").texts().map(\.count) == [2_000])
    }

    @Test("a client too slow for its messages gets what its queue holds, in order", arguments: ProtocolVersion.allCases)
    func slowClient(_ version: ProtocolVersion) throws {
        let test = TestBroker(queue: { $0.messages = 5 }, limits: { $0.inflightMessages = 2 })
        let client = try test.connect("s", version)
        try client.subscribe("t", qos: .atLeastOnce)
        try publish((1...10).map { "\($0)" }, test)
        #expect(test.broker.statistics.dropped == 3)
        #expect(try client.texts() == ["1", "2", "6", "7", "8", "9", "10"])
    }

    @Test("messages of a session that ends are gone, and with them its subscriptions")
    func gone() throws {
        let test = TestBroker()
        let client = try test.connect("s") { $0.properties.sessionExpiryInterval = 10 }
        try client.subscribe("t", qos: .atLeastOnce)
        client.drop()
        try publish(["1"], test)
        test.advance(seconds: 10)
        let publisher = try test.connect("p")
        #expect(try publisher.publish("t", "2", qos: .atLeastOnce) == .noMatchingSubscribers)
        #expect(try test.connectPersistent("s").texts().isEmpty)
    }

    @Test("[MQTT-3.3.2-5] deletes a queued message when its Message Expiry Interval has passed")
    func expiresInQueue() throws {
        let test = TestBroker()
        try offline(test)
        let publisher = try test.connect("p")
        try publisher.publish("t", "short", qos: .atLeastOnce) { $0.properties.messageExpiryInterval = 10 }
        try publisher.publish("t", "long", qos: .atLeastOnce) { $0.properties.messageExpiryInterval = 100 }
        try publisher.publish("t", "ever", qos: .atLeastOnce)
        test.advance(seconds: 30)
        let messages = try test.connectPersistent("s").messages()
        #expect(messages.map(\.text) == ["long", "ever"])
        // [MQTT-3.3.2-6]
        #expect(messages.map(\.properties.messageExpiryInterval) == [70, nil])
        #expect(test.broker.statistics.dropped == 1)
    }

    @Test("[MQTT-3.3.2-6] sends the whole Message Expiry Interval when nothing was waited for")
    func expiryUntouched() throws {
        let test = TestBroker()
        let client = try test.connect("s")
        try client.subscribe("t", qos: .atLeastOnce)
        let publisher = try test.connect("p")
        for qos in [QoS.atMostOnce, .atLeastOnce] {
            try publisher.publish("t", "x", qos: qos) { $0.properties.messageExpiryInterval = 10 }
        }
        #expect(try client.messages().map(\.properties.messageExpiryInterval) == [10, 10])
    }

    @Test(
        "[MQTT-3.3.2-5] a message expires behind a full window, too, in MQTT 3.1.1 as well",
        arguments: ProtocolVersion.allCases
    )
    func expiresBehindWindow(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.inflightMessages = 1 }
        let client = try test.connect("s", version)
        try client.subscribe("t", qos: .atLeastOnce)
        let publisher = try test.connect("p")
        try publisher.publish("t", "first", qos: .atLeastOnce)
        try publisher.publish("t", "late", qos: .atLeastOnce) { $0.properties.messageExpiryInterval = 5 }
        try publisher.publish("t", "last", qos: .atLeastOnce)
        test.advance(seconds: 5)
        #expect(try client.texts() == ["first", "last"])
    }

    @Test(
        "[MQTT-3.1.2-24] [MQTT-3.1.2-25] drops what is larger than one client's Maximum Packet Size for that client alone"
    )
    func maximumPacketSize() throws {
        let test = TestBroker()
        let small = try test.connect("small") { $0.properties.maximumPacketSize = 60 }
        let large = try test.connect("large")
        let old = try test.connect("old", .v3_1_1)
        for client in [small, large, old] { try client.subscribe("t", qos: .exactlyOnce) }
        let publisher = try test.connect("p")
        let long = String(repeating: "x", count: 100)
        for qos in QoS.allCases {
            try publisher.publish("t", long, qos: qos)
            try publisher.publish("t", "short", qos: qos)
        }
        #expect(try small.texts() == ["short", "short", "short"])
        #expect(try large.messages().count == 6)
        #expect(try old.messages().count == 6)
        #expect(test.broker.statistics.dropped == 3)
    }

    @Test("[MQTT-3.1.2-24] takes a packet of just the Maximum Packet Size")
    func justMaximumPacketSize() throws {
        let test = TestBroker()
        // Fixed header 2, topic 3, identifier 2, properties 1.
        let client = try test.connect("s") { $0.properties.maximumPacketSize = 38 }
        try client.subscribe("t", qos: .atLeastOnce)
        try publish([String(repeating: "x", count: 31), String(repeating: "y", count: 30)], test)
        #expect(try client.texts() == [String(repeating: "y", count: 30)])
    }

    @Test("[MQTT-3.1.2-25] a queued message too large for the new connection does not stand in the way")
    func tooLargeInQueue() throws {
        let test = TestBroker()
        try offline(test)
        try publish(["1", String(repeating: "x", count: 100), "3"], test)
        let again = try test.connectPersistent("s") { $0.properties.maximumPacketSize = 60 }
        #expect(try again.texts() == ["1", "3"])
        again.drop()
        #expect(try test.connectPersistent("s").texts().isEmpty)
    }

    @Test("[MQTT-3.1.2-25] a message too large for the new connection is not sent again")
    func tooLargeToResend() throws {
        let test = TestBroker()
        let first = try test.connectPersistent("s")
        try first.subscribe("t", qos: .atLeastOnce)
        try publish(["1", String(repeating: "x", count: 100), "3"], test)
        first.drop()
        #expect(try test.connectPersistent("s") { $0.properties.maximumPacketSize = 60 }.texts() == ["1", "3"])
    }
}
