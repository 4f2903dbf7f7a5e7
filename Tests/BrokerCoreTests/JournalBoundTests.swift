import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct JournalBoundTests {
    @Test("while the store writes nothing, the last value of a retained topic alone is kept for it")
    func coalesced() throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        test.storeAll()
        test.store.hold()
        for number in 0..<5_000 { publisher.feed(publisher.encoded(try retained("t/\(number % 3)", "\(number)"))) }
        test.flush()
        #expect(test.broker.unwrittenBytes < 10_000)
        test.store.release()
        test.storeAll()
        #expect(try test.store.retainedTopics == ["t/0", "t/1", "t/2"])
        let again = test.restarted()
        let reader = try again.connect("r")
        try reader.subscribe("t/#")
        #expect(try Set(reader.texts()) == ["4997", "4998", "4999"])
    }

    @Test("retained messages are counted, and refused beyond the bound, at QoS 0 too")
    func bounded() throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        test.storeAll()
        test.store.hold()
        let text = String(repeating: "x", count: 500_000)
        for number in 0..<400 { publisher.send(.publish(try publish("t/\(number)", text))) }
        #expect(test.broker.unwrittenBytes <= Limits.unwrittenBytes + 1_000_000)
        #expect(test.broker.retainedCount < 400)
        test.store.release()
        test.flush()
        #expect(try publisher.publish("last", "x", qos: .atLeastOnce, retain: true) == .noMatchingSubscribers)
    }

    @Test("a session that comes back over and over while the store fails adds nothing")
    func reconnects() throws {
        let test = TestBroker()
        let client = try test.connectPersistent("c")
        try client.subscribe("a/b", qos: .atLeastOnce)
        client.drop()
        test.storeAll()
        test.store.hold()
        var bytes: [Int] = []
        for _ in 0..<50 {
            let again = test.open()
            again.send(.connect(Connect(cleanStart: false, clientID: "c")))
            again.drop()
            bytes.append(test.broker.unwrittenBytes)
        }
        #expect(bytes.last == bytes[5])
    }

    @Test("of a session and a subscription that changed in one batch the last state is stored")
    func lastCounts() throws {
        let test = TestBroker()
        let client = try test.connectPersistent("c")
        test.storeAll()
        test.store.hold()
        for (filter, qos) in [("a", QoS.atMostOnce), ("a", .exactlyOnce), ("a", .atLeastOnce), ("b", .atMostOnce)] {
            let subscription = Subscribe.Subscription(filter: filter, options: SubscriptionOptions(qos: qos))
            client.send(.subscribe(Subscribe(packetID: client.takePacketID(), subscriptions: [subscription])))
        }
        client.send(.unsubscribe(Unsubscribe(packetID: client.takePacketID(), filters: ["b"])))
        client.drop()
        test.store.release()
        let again = test.restarted()
        let publisher = try again.connect("p")
        #expect(try publisher.publish("b", "x", qos: .atLeastOnce) == .noMatchingSubscribers)
        #expect(try publisher.publish("a", "x", qos: .exactlyOnce) == .success)
        #expect(try again.connectPersistent("c").messages().map(\.qos) == [.atLeastOnce])
    }

    private func publish(_ topic: String, _ text: String) throws -> Publish {
        Publish(topic: try TopicName(topic), payload: ByteBuffer(string: text), retain: true)
    }

    private func retained(_ topic: String, _ text: String) throws -> Packet { .publish(try publish(topic, text)) }
}
