import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct RetainedTests {
    @Test(
        "[MQTT-3.3.1-5] [MQTT-3.3.1-9] [MQTT-3.3.1-8 of 3.1.1] sends a retained message at subscribe, with RETAIN",
        arguments: ProtocolVersion.allCases
    )
    func sentAtSubscribe(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        try test.connect("p", version).publish("t", "kept", qos: .atLeastOnce, retain: true)
        let subscriber = try test.connect("s", version)
        #expect(try subscriber.subscribe("t", qos: .atLeastOnce) == [.grantedQoS1])
        let messages = try subscriber.messages()
        #expect(messages.map(\.text) == ["kept"])
        #expect(messages.map(\.retain) == [true])
        #expect(messages.map(\.qos) == [.atLeastOnce])
    }

    @Test("[MQTT-3.3.1-5] keeps the last one only", arguments: ProtocolVersion.allCases)
    func replaced(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let publisher = try test.connect("p", version)
        try publisher.publish("t", "one", retain: true)
        try publisher.publish("t", "not retained")
        try publisher.publish("t", "two", qos: .exactlyOnce, retain: true)
        let subscriber = try test.connect("s", version)
        try subscriber.subscribe("t")
        #expect(try subscriber.texts() == ["two"])
    }

    @Test(
        "[MQTT-3.3.1-6] [MQTT-3.3.1-7] clears it by an empty payload, which is sent on as usual",
        arguments: ProtocolVersion.allCases
    )
    func cleared(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let publisher = try test.connect("p", version)
        try publisher.publish("t", "kept", retain: true)
        let present = try test.connect("present", version)
        try present.subscribe("t")
        #expect(try present.texts() == ["kept"])
        try publisher.publish("t", "", retain: true)
        let empty = try present.messages()
        #expect(empty.map(\.text) == [""])
        #expect(empty.map(\.retain) == [false])
        let late = try test.connect("late", version)
        try late.subscribe("t")
        #expect(try late.messages().isEmpty)
    }

    @Test("[MQTT-3.3.1-8] a message without RETAIN leaves the retained one", arguments: ProtocolVersion.allCases)
    func unretained(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let publisher = try test.connect("p", version)
        try publisher.publish("t", "kept", retain: true)
        try publisher.publish("t", "")
        let late = try test.connect("late", version)
        try late.subscribe("t")
        #expect(try late.texts() == ["kept"])
    }

    @Test("[MQTT-3.3.1-12] [MQTT-3.3.1-13] RETAIN goes on to present subscribers as they asked")
    func retainAsPublished() throws {
        let test = TestBroker()
        let plain = try test.connect("plain")
        let asPublished = try test.connect("asPublished")
        let old = try test.connect("old", .v3_1_1)
        try plain.subscribe("t")
        try asPublished.subscribe("t") { $0.retainAsPublished = true }
        try old.subscribe("t")
        let publisher = try test.connect("p")
        try publisher.publish("t", "x", retain: true)
        try publisher.publish("t", "y")
        #expect(try plain.messages().map(\.retain) == [false, false])
        #expect(try asPublished.messages().map(\.retain) == [true, false])
        #expect(try old.messages().map(\.retain) == [false, false])
    }

    @Test("[MQTT-3.3.1-10] [MQTT-3.3.1-11] Retain Handling says when retained messages are sent")
    func retainHandling() throws {
        let test = TestBroker()
        try test.connect("p").publish("t", "kept", retain: true)
        let expected: [(SubscriptionOptions.RetainHandling, first: Int, second: Int)] = [
            (.sendAtSubscribe, 1, 1), (.sendIfNew, 1, 0), (.doNotSend, 0, 0),
        ]
        for (handling, first, second) in expected {
            let subscriber = try test.connect("s")
            try subscriber.subscribe("t") { $0.retainHandling = handling }
            #expect(try subscriber.messages().count == first, "\(handling)")
            try subscriber.subscribe("t") { $0.retainHandling = handling }
            #expect(try subscriber.messages().count == second, "\(handling)")
            try subscriber.unsubscribe("t")
            try subscriber.subscribe("t") { $0.retainHandling = handling }
            #expect(try subscriber.messages().count == first, "\(handling)")
        }
    }

    @Test("Send If New counts a subscription of the resumed session as there")
    func retainHandlingResumed() throws {
        let test = TestBroker()
        try test.connect("p").publish("t", "kept", retain: true)
        let first = try test.connectPersistent("s")
        try first.subscribe("t") { $0.retainHandling = .sendIfNew }
        #expect(try first.messages().count == 1)
        first.drop()
        let again = try test.connectPersistent("s")
        try again.subscribe("t") { $0.retainHandling = .sendIfNew }
        #expect(try again.messages().isEmpty)
    }

    @Test("[MQTT-3.8.4-4] sends every retained message a filter matches", arguments: ProtocolVersion.allCases)
    func wildcards(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let publisher = try test.connect("p", version)
        for topic in ["a", "a/b", "a/b/c", "a//c", "/", "$own/a", "b"] {
            try publisher.publish(topic, topic, retain: true)
        }
        let expected: [(String, Set<String>)] = [
            ("#", ["a", "a/b", "a/b/c", "a//c", "/", "b"]), ("a/#", ["a", "a/b", "a/b/c", "a//c"]),
            ("+", ["a", "b"]), ("+/+", ["a/b", "/"]), ("a/+/c", ["a/b/c", "a//c"]), ("$own/#", ["$own/a"]),
            ("+/a", []), ("a/b/c/#", ["a/b/c"]), ("nothing/#", []),
        ]
        for (filter, topics) in expected {
            let subscriber = try test.connect("s", version)
            try subscriber.subscribe(filter)
            let messages = try subscriber.messages()
            #expect(Set(messages.map(\.text)) == topics, "\(filter)")
            #expect(messages.count == topics.count)
        }
    }

    @Test("MQTT 5.0 §4.8.2 sends no retained message to a shared subscription")
    func shared() throws {
        let test = TestBroker()
        try test.connect("p").publish("t", "kept", retain: true)
        let member = try test.connect("m")
        try member.subscribe("$share/g/t")
        #expect(try member.messages().isEmpty)
    }

    @Test("sends a retained message with Subscription Identifier and at the lower QoS")
    func identifierAndQoS() throws {
        let test = TestBroker()
        try test.connect("p").publish("t", "kept", qos: .exactlyOnce, retain: true)
        let subscriber = try test.connect("s")
        try subscriber.subscribe("t", qos: .atLeastOnce, identifier: 9)
        let message = try #require(try subscriber.messages().first)
        #expect(message.qos == .atLeastOnce)
        #expect(message.properties.subscriptionIdentifiers == [9])
    }

    @Test("[MQTT-3.3.2-6] counts a retained message's Message Expiry Interval down, and deletes it at the end")
    func expiry() throws {
        let test = TestBroker()
        try test.connect("p").publish("t", "kept", retain: true) { $0.properties.messageExpiryInterval = 10 }
        test.advance(seconds: 4)
        let subscriber = try test.connect("s")
        try subscriber.subscribe("t")
        #expect(try subscriber.messages().first?.properties.messageExpiryInterval == 6)
        test.advance(seconds: 6)
        try subscriber.subscribe("t")
        #expect(try subscriber.messages().isEmpty)
        #expect(test.broker.isRetained(try TopicName("t")) == false)
    }

    @Test("refuses one retained message too many, and takes changes of those it has")
    func limit() throws {
        let test = TestBroker {
            $0.retainedMessages = 2
            $0.retainedMessageShares = Shares(perAddress: 2)
        }
        let publisher = try test.connect("p")
        try publisher.publish("a", "1", qos: .atLeastOnce, retain: true)
        try publisher.publish("b", "1", qos: .atLeastOnce, retain: true)
        #expect(try publisher.publish("c", "1", qos: .atLeastOnce, retain: true) == .quotaExceeded)
        #expect(try publisher.publish("c", "1", qos: .exactlyOnce, retain: true) == .quotaExceeded)
        #expect(try publisher.publish("b", "2", qos: .atLeastOnce, retain: true)?.isError == false)
        try publisher.publish("a", "", retain: true)
        #expect(try publisher.publish("c", "1", qos: .atLeastOnce, retain: true)?.isError == false)
    }

    @Test(
        "a message that can't be retained reaches those who are subscribed, a will too [MQTT-3.1.2-8]",
        arguments: ProtocolVersion.allCases
    )
    func unretainable(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.retainedMessages = 1 }
        let subscriber = try test.connect("s")
        try subscriber.subscribe("#", qos: .exactlyOnce)
        let publisher = try test.connect("p", version)
        try publisher.publish("a", "kept", qos: .atLeastOnce, retain: true)
        let reason: ReasonCode = version == .v5 ? .quotaExceeded : .success
        for qos in [QoS.atLeastOnce, .exactlyOnce] {
            #expect(try publisher.publish("b", "at QoS \(qos.rawValue)", qos: qos, retain: true) == reason)
        }
        try publisher.sendPublish("c", "at QoS 0", retain: true)
        let deep = String(repeating: "/", count: 250)
        let tooDeep = try publisher.publish(deep, "deep", qos: .atLeastOnce, retain: true)
        #expect(tooDeep == (version == .v5 ? .topicNameInvalid : .success))
        let topic = try TopicName("d")
        let mortal = test.open(version)
        try mortal.connect("w") {
            $0.will = Will(topic: topic, payload: ByteBuffer(string: "will"), qos: .atLeastOnce, retain: true)
        }
        mortal.drop()
        #expect(try subscriber.texts() == ["kept", "at QoS 1", "at QoS 2", "at QoS 0", "deep", "will"])
        #expect(test.broker.retainedCount == 1)
    }

    @Test(
        "[MQTT-3.1.2-7 of 3.1.1] keeps a retained message when its publisher's session ends",
        arguments: ProtocolVersion.allCases
    )
    func outlivesSession(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let publisher = try test.connect("p", version)
        try publisher.publish("t", "kept", retain: true)
        publisher.disconnect()
        _ = try test.connect("p", version)
        let subscriber = try test.connect("s", version)
        try subscriber.subscribe("t")
        #expect(try subscriber.texts() == ["kept"])
    }

    @Test("refuses a retained message beyond the limit of bytes, and counts messages as they change")
    func bytes() throws {
        let empty = TestBroker()
        try empty.connect("p").publish("a", "", qos: .atLeastOnce, retain: true)
        try empty.connect("p").publish("a", "x", qos: .atLeastOnce, retain: true)
        let one = empty.broker.retainedBytes - 1
        // Two messages of 49 bytes; three of 33 bytes in all would need room for one more.
        let test = TestBroker {
            // The share of the one address: of all the last tenth is not for it.
            $0.retainedByteShares = Shares(perAddress: 2 * one + 98)
        }
        let publisher = try test.connect("p")
        let retain = { (topic: String, count: Int) throws -> ReasonCode? in
            let payload = String(repeating: "x", count: count)
            return try publisher.publish(topic, payload, qos: .atLeastOnce, retain: true)
        }
        #expect(try retain("a", 49) == .noMatchingSubscribers)
        #expect(try retain("b", 50) == .quotaExceeded)
        #expect(try retain("b", 49) == .noMatchingSubscribers)
        #expect(try retain("c", 1) == .quotaExceeded)
        // A message that replaces another counts in its place.
        #expect(try retain("b", 50) == .quotaExceeded)
        #expect(try retain("b", 40) == .noMatchingSubscribers)
        #expect(try retain("a", 58) == .noMatchingSubscribers)
        #expect(try retain("a", 59) == .quotaExceeded)
        #expect(try retain("a", 0) == .noMatchingSubscribers)
        #expect(test.broker.retainedBytes == one + 40)
        #expect(try retain("d", 58) == .noMatchingSubscribers)
        #expect(try retain("d", 59) == .quotaExceeded)
        // What was refused has not touched what was there.
        let subscriber = try test.connect("s")
        try subscriber.subscribe("#")
        #expect(try Set(subscriber.texts().map(\.count)) == [40, 58])
        for topic in ["b", "d"] { _ = try retain(topic, 0) }
        #expect(test.broker.retainedBytes == 0)
    }

    @Test("expired retained messages make room for new ones")
    func expiredMakeRoom() throws {
        let test = TestBroker {
            $0.retainedMessages = 2
            $0.retainedMessageShares = Shares(perAddress: 2)
        }
        let publisher = try test.connect("p")
        for topic in ["a", "b"] {
            try publisher.publish(topic, "1", retain: true) { $0.properties.messageExpiryInterval = 10 }
        }
        #expect(try publisher.publish("c", "1", qos: .atLeastOnce, retain: true) == .quotaExceeded)
        test.advance(seconds: 10)
        #expect(try publisher.publish("c", "1", qos: .atLeastOnce, retain: true)?.isError == false)
    }

    @Test("[MQTT-3.8.3-3] sends a client with No Local no retained message of its own")
    func noLocal() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        try client.publish("mine", "x", retain: true)
        try test.connect("b").publish("other", "y", retain: true)
        try client.subscribe("#") { $0.noLocal = true }
        #expect(try client.texts() == ["y"])
    }

    @Test("[MQTT-3.8.3-3] knows a client's own retained messages in its next session and after a restart, too")
    func noLocalLater() throws {
        let test = TestBroker()
        try test.connect("a").publish("mine", "x", retain: true)
        try test.connect("b").publish("other", "y", retain: true)
        for broker in [test, test.restarted()] {
            let client = try broker.connect("a")
            try client.subscribe("#") { $0.noLocal = true }
            #expect(try client.texts() == ["y"])
        }
    }

    @Test("who looks around sees some of what is retained, but no topic that begins with $ and none that has expired")
    func lookAround() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        for number in 1...5 { try client.publish("t/\(number)", "x", retain: true) }
        try client.publish("$private", "x", retain: true)
        try client.publish("late", "x", retain: true) { $0.properties.messageExpiryInterval = 1 }
        test.advance(seconds: 2)
        let visitor = VirtualConnection(
            transportProtocol: .coap,
            remoteAddress: "test",
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
        #expect(test.broker.someRetained(100, for: visitor).isEmpty)
        _ = test.broker.connect(ConnectRequest(), on: visitor)
        #expect(test.broker.someRetained(3, for: visitor).count == 3)
        let topics = test.broker.someRetained(100, for: visitor).map(\.topic.string)
        #expect(topics.sorted() == (1...5).map { "t/\($0)" })
    }

    @Test("[MQTT-3.8.4-5] a filter that stands twice in one SUBSCRIBE gets its retained messages once, as it asks last")
    func twice() throws {
        let test = TestBroker()
        try test.connect("p").publish("t", "x", qos: .exactlyOnce, retain: true)
        let client = try test.connect("s")
        client.send(
            .subscribe(
                Subscribe(
                    packetID: 1,
                    subscriptions: [
                        .init(filter: "t", options: SubscriptionOptions(qos: .atMostOnce)),
                        .init(filter: "t", options: SubscriptionOptions(qos: .atLeastOnce)),
                    ]
                )
            )
        )
        #expect(try client.messages().map(\.qos) == [.atLeastOnce])
    }
}
