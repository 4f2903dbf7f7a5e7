import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Retained messages go out at the pace of their client [MQTT-3.3.1-9].
@Suite struct RetainedDeliveryTests {
    private static let count = 1_200

    private func retain(_ count: Int, at test: TestBroker, qos: QoS = .atLeastOnce) throws {
        let publisher = try test.connect("p")
        for number in 0..<count { try publisher.publish("r/\(number)", "\(number)", qos: qos, retain: true) }
    }

    @Test(
        "[MQTT-3.3.1-9] all of them arrive, however many there are",
        arguments: QueueLimits.Policy.allCases,
        [QoS.atMostOnce, .atLeastOnce, .exactlyOnce]
    )
    func all(_ policy: QueueLimits.Policy, _ qos: QoS) throws {
        let test = TestBroker(
            queue: {
                $0.messages = 10
                $0.whenFull = policy
            },
            limits: { $0.inflightMessages = 50 }
        )
        try retain(Self.count, at: test)
        let client = try test.connect("s")
        try client.subscribe("r/#", qos: qos)
        var texts = Set<String>()
        while true {
            let messages = try client.takePublishes()
            guard !messages.isEmpty else { break }
            #expect(qos == .atMostOnce || messages.count <= 50)
            for message in messages {
                #expect(message.retain)
                #expect(texts.insert(message.text).inserted)
                try client.acknowledge(message)
            }
        }
        #expect(texts.count == Self.count)
        #expect(test.broker.statistics.dropped == 0)
        #expect(!client.isClosed)
    }

    @Test("none is sent to a connection that is full, and the broker holds no more than a mark for it")
    func fullConnection() throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 10_000)
        for number in 0..<300 { try publisher.publish("r/\(number)", text, retain: true) }
        let client = try test.connect("s")
        client.setWritable(false)
        client.send(.subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "r/#", options: .init())])))
        #expect(client.outputBytes < 300_000)
        client.setWritable(true)
        #expect(try client.messages().count == 300)
    }

    @Test("they don't push out what was queued before")
    func queuedBefore() throws {
        let test = TestBroker(queue: { $0.messages = 5 }, limits: { $0.inflightMessages = 1 })
        try retain(20, at: test)
        let client = try test.connect("s")
        try client.subscribe("t", qos: .atLeastOnce)
        let publisher = try test.connect("q")
        for number in 0..<6 { try publisher.publish("t", "t\(number)", qos: .atLeastOnce) }
        try client.subscribe("r/#", qos: .atLeastOnce)
        #expect(try client.messages().count == 26)
        #expect(test.broker.statistics.dropped == 0)
    }

    @Test("who subscribes to everything keeps nobody waiting: the work is done in slices")
    func slices() throws {
        let test = TestBroker()
        try retain(Self.count, at: test, qos: .atMostOnce)
        let client = try test.connect("s")
        client.feed(
            client.encoded(.subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "#", options: .init())])))
        )
        #expect(test.broker.hasBacklog)
        test.flush()
        #expect(try client.messages().count == Self.count)
    }

    @Test("a topic that is retained anew meanwhile comes once, as it is published")
    func replacedMeanwhile() throws {
        let test = TestBroker(limits: { $0.inflightMessages = 1 })
        try retain(3, at: test)
        let client = try test.connect("s")
        try client.subscribe("r/#", qos: .atLeastOnce)
        let publisher = try test.connect("q")
        for number in 0..<3 { try publisher.publish("r/\(number)", "new\(number)", qos: .atLeastOnce, retain: true) }
        let messages = try client.messages()
        // The first of the former ones was under way.
        #expect(messages.count == 4)
        #expect(messages.count { $0.text.hasPrefix("new") } == 3)
    }

    @Test("topics that go while a walk stands at them don't lead it astray")
    func removedMeanwhile() throws {
        let test = TestBroker(limits: { $0.inflightMessages = 1 })
        try retain(50, at: test)
        let client = try test.connect("s")
        try client.subscribe("r/#", qos: .atLeastOnce)
        let publisher = try test.connect("q")
        for number in 0..<50 where number % 2 == 0 {
            try publisher.publish("r/\(number)", "", qos: .atMostOnce, retain: true)
        }
        let odd = try client.messages().filter { !$0.text.isEmpty && Int($0.text).map { $0 % 2 == 1 } ?? false }
        #expect(odd.count == 25)
        for number in 0..<50 { try publisher.publish("r/\(number)", "", qos: .atMostOnce, retain: true) }
        #expect(test.broker.retainedCount == 0)
    }

    @Test("[MQTT-3.10.4-2] after UNSUBSCRIBE no more come")
    func unsubscribed() throws {
        let test = TestBroker(limits: { $0.inflightMessages = 1 })
        try retain(5, at: test)
        let client = try test.connect("s")
        try client.subscribe("r/#", qos: .atLeastOnce)
        try client.unsubscribe("r/#")
        #expect(try client.messages().count == 1)
    }

    @Test("what a persistent session has not been sent comes on its next connection, and after a restart")
    func resumed() throws {
        var test = TestBroker(limits: { $0.inflightMessages = 1 })
        try retain(6, at: test)
        let first = try test.connectPersistent("s")
        try first.subscribe("r/#", qos: .atLeastOnce)
        var texts = Set(try first.takePublishes().map(\.text))
        #expect(texts.count == 1)
        first.drop()
        test = test.restarted()
        let second = try test.connectPersistent("s")
        for message in try second.messages() { texts.insert(message.text) }
        #expect(texts.count == 6)
        second.drop()
        test = test.restarted()
        let third = try test.connectPersistent("s")
        #expect(try third.messages().isEmpty)
    }

    @Test(
        "a gateway's client gets all of them as it takes them, at QoS 0 too",
        arguments: [QoS.atMostOnce, .atLeastOnce]
    )
    func sinks(_ qos: QoS) throws {
        let test = TestBroker()
        try retain(1_000, at: test)
        let client = SinkClient(test, capacity: 10)
        client.connect(ConnectRequest())
        client.subscribe("r/#", qos: qos)
        var texts = Set<String>()
        while true {
            let deliveries = client.deliveries()
            guard !deliveries.isEmpty else { break }
            #expect(deliveries.count <= 10)
            for delivery in deliveries { texts.insert(delivery.text) }
            for delivery in deliveries { client.acknowledge(delivery) }
            client.consumed(deliveries.count)
        }
        #expect(texts.count == 1_000)
        #expect(test.broker.statistics.dropped == 0)
    }

    @Test(
        "walks visit what matches, level by level",
        arguments: ["#", "+/b/#", "a/+", "a/#", "+", "+/+/c", "$x/#", "a/b/c"]
    )
    func filters(_ filter: String) throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        let topics = ["a", "a/b", "a/b/c", "a//c", "b", "b/b", "b/b/c/d", "$x/b", "$x", "/", "c/b/", "x/y/c"]
        for topic in topics { try publisher.publish(topic, topic, retain: true) }
        let client = try test.connect("s")
        try client.subscribe(filter)
        let wanted = try TopicFilter(filter)
        let expected = try topics.filter { wanted.matches(try TopicName($0)) }
        #expect(try client.texts().sorted() == expected.sorted())
    }
}
