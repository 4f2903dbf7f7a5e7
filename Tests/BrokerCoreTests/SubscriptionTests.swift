import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct SubscriptionTests {
    @Test(
        "[MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] answers a SUBSCRIBE, each filter in order",
        arguments: ProtocolVersion.allCases
    )
    func answers(_ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        client.send(
            .subscribe(
                Subscribe(
                    packetID: 7,
                    subscriptions: [
                        .init(filter: "a", options: SubscriptionOptions(qos: .exactlyOnce)),
                        .init(filter: "$share/g", options: SubscriptionOptions(qos: .atLeastOnce)),
                        .init(filter: "b", options: SubscriptionOptions(qos: .atLeastOnce)),
                        .init(filter: "$share//t"), .init(filter: "c"),
                    ]
                )
            )
        )
        let bad: ReasonCode = version == .v5 ? .topicFilterInvalid : .unspecifiedError
        #expect(
            try client.packets() == [
                .suback(Suback(packetID: 7, reasonCodes: [.grantedQoS2, bad, .grantedQoS1, bad, .grantedQoS0]))
            ]
        )
    }

    @Test("[MQTT-3.2.2-10] [MQTT-3.8.4-7] grants no more than Maximum QoS", arguments: ProtocolVersion.allCases)
    func maximumQoS(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.maximumQoS = 1 }
        let client = try test.connect("a", version)
        #expect(try client.subscribe("t", qos: .exactlyOnce) == [.grantedQoS1])
    }

    @Test("[MQTT-3.8.4-8] delivers at the lower of both QoS", arguments: ProtocolVersion.allCases)
    func lowerQoS(_ version: ProtocolVersion) throws {
        for granted in QoS.allCases {
            let test = TestBroker()
            let subscriber = try test.connect("s", version)
            try subscriber.subscribe("t", qos: granted)
            let publisher = try test.connect("p", version)
            for published in QoS.allCases { try publisher.publish("t", "x", qos: published) }
            #expect(try subscriber.messages().map(\.qos) == QoS.allCases.map { min($0, granted) })
        }
    }

    @Test(
        "[MQTT-3.8.4-3] a SUBSCRIBE with the same filter replaces the subscription",
        arguments: ProtocolVersion.allCases
    )
    func replaces(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version)
        try client.subscribe("t", qos: .atMostOnce)
        try client.subscribe("t", qos: .atLeastOnce)
        try client.publish("t", "x", qos: .atLeastOnce)
        #expect(try client.messages().map(\.qos) == [.atLeastOnce])
        #expect(try client.unsubscribe("t") == (version == .v5 ? [.success] : []))
        try client.publish("t", "y")
        #expect(try client.messages().isEmpty)
    }

    // [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
    @Test("sends one message for overlapping subscriptions, at the highest QoS with all identifiers")
    func overlapping() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        try client.subscribe("a/b", qos: .atMostOnce, identifier: 1)
        try client.subscribe("a/+", qos: .exactlyOnce, identifier: 2)
        try client.subscribe("#", qos: .atLeastOnce, identifier: 3)
        try client.subscribe("+/b", qos: .atLeastOnce)
        try client.subscribe("x", identifier: 4)
        try test.connect("p").publish("a/b", "x", qos: .exactlyOnce)
        let messages = try client.messages()
        #expect(messages.count == 1)
        #expect(messages.first?.qos == .exactlyOnce)
        #expect(messages.first?.properties.subscriptionIdentifiers.sorted() == [1, 2, 3])
    }

    @Test("[MQTT-3.3.5-1] of 3.1.1 sends one message for overlapping subscriptions, at the highest QoS")
    func overlapping311() throws {
        let test = TestBroker()
        let client = try test.connect("a", .v3_1_1)
        try client.subscribe("a/b", "a/+", qos: .atMostOnce)
        try client.subscribe("#", qos: .atLeastOnce)
        try test.connect("p").publish("a/b", "x", qos: .exactlyOnce)
        #expect(try client.messages().map(\.qos) == [.atLeastOnce])
    }

    @Test("MQTT 5.0 §3.8.2.1.2 sends the identifier of each message's own subscription, at every QoS")
    func identifiers() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        try client.subscribe("one", qos: .exactlyOnce, identifier: 1)
        try client.subscribe("two", qos: .exactlyOnce, identifier: 268_435_455)
        try client.subscribe("none", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        for qos in QoS.allCases {
            for topic in ["one", "two", "none"] { try publisher.publish(topic, qos: qos) }
        }
        let identifiers = try client.messages().map(\.properties.subscriptionIdentifiers)
        #expect(identifiers == Array(repeating: [[1], [268_435_455], []], count: 3).flatMap { $0 })
    }

    @Test("[MQTT-3.8.4-3] a SUBSCRIBE with the same filter replaces the identifier")
    func replacesIdentifier() throws {
        let client = try TestBroker().connect("a")
        try client.subscribe("t", identifier: 1)
        try client.subscribe("t", identifier: 2)
        try client.publish("t")
        try client.subscribe("t")
        try client.publish("t")
        #expect(try client.messages().map(\.properties.subscriptionIdentifiers) == [[2], []])
    }

    @Test("[MQTT-3.8.3-3] No Local keeps a client's own messages from it")
    func noLocal() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        let other = try test.connect("b")
        try client.subscribe("t", qos: .atLeastOnce) { $0.noLocal = true }
        try client.publish("t", "mine", qos: .atLeastOnce)
        try client.publish("t", "mine")
        try other.publish("t", "other")
        #expect(try client.texts() == ["other"])
    }

    @Test("[MQTT-3.8.3-3] No Local takes out only the subscription that has it")
    func noLocalOverlapping() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        try client.subscribe("t", qos: .exactlyOnce, identifier: 1) { $0.noLocal = true }
        try client.subscribe("#", qos: .atLeastOnce, identifier: 2)
        try client.publish("t", "mine", qos: .exactlyOnce)
        let own = try #require(try client.messages().first)
        #expect(own.qos == .atLeastOnce)
        #expect(own.properties.subscriptionIdentifiers == [2])
        try test.connect("b").publish("t", "other", qos: .exactlyOnce)
        let other = try #require(try client.messages().first)
        #expect(other.qos == .exactlyOnce)
        #expect(other.properties.subscriptionIdentifiers.sorted() == [1, 2])
    }

    @Test("[MQTT-3.8.3-3] several subscriptions without No Local stay merged for a client's own messages")
    func noLocalAmongSeveral() throws {
        let client = try TestBroker().connect("a")
        try client.subscribe("a/b", qos: .exactlyOnce, identifier: 1) { $0.noLocal = true }
        try client.subscribe("a/+", qos: .atMostOnce, identifier: 2)
        try client.subscribe("a/#", qos: .atLeastOnce, identifier: 3)
        try client.subscribe("#", identifier: 4) { $0.noLocal = true }
        try client.subscribe("+/b", identifier: 5)
        try client.publish("a/b", "mine", qos: .exactlyOnce)
        let own = try #require(try client.messages().first)
        #expect(own.qos == .atLeastOnce)
        #expect(own.properties.subscriptionIdentifiers.sorted() == [2, 3, 5])
    }

    @Test("[MQTT-3.3.1-12] Retain As Published counts only where No Local does not take the message out")
    func noLocalRetainAsPublished() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        try client.subscribe("t") {
            $0.noLocal = true
            $0.retainAsPublished = true
        }
        try client.subscribe("#")
        try client.publish("t", "mine", retain: true)
        try test.connect("b").publish("t", "other", retain: true)
        #expect(try client.messages().map(\.retain) == [false, true])
    }

    @Test(
        "[MQTT-4.7.2-1] wildcards at the first level don't match topics that begin with $",
        arguments: ProtocolVersion.allCases
    )
    func reserved(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let wild = try test.connect("wild", version)
        try wild.subscribe("#", "+/x", "+/#")
        let exact = try test.connect("exact", version)
        try exact.subscribe("$dev/x", "$dev/#")
        try test.connect("p", version).publish("$dev/x", "x")
        #expect(try wild.messages().isEmpty)
        #expect(try exact.texts() == ["x"])
    }

    @Test(
        "[MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] UNSUBSCRIBE takes just that filter away",
        arguments: ProtocolVersion.allCases
    )
    func unsubscribe(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version)
        try client.subscribe("a/b", "a/+")
        let answer = try client.unsubscribe("a/+", "a/c", "$share/g")
        #expect(answer == (version == .v5 ? [.success, .noSubscriptionExisted, .topicFilterInvalid] : []))
        try test.connect("p").publish("a/b", "x")
        try test.connect("p").publish("a/c", "y")
        #expect(try client.texts() == ["x"])
    }

    // [MQTT-2.2.1-6] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
    @Test("answers an UNSUBSCRIBE by one UNSUBACK, each filter in order", arguments: ProtocolVersion.allCases)
    func unsuback(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version)
        try client.subscribe("a", "b", "c")
        client.send(.unsubscribe(Unsubscribe(packetID: 11, filters: ["c", "nothing", "a"])))
        client.send(.unsubscribe(Unsubscribe(packetID: 12, filters: ["nothing"])))
        let none = ReasonCode.noSubscriptionExisted
        let codes: [[ReasonCode]] = version == .v5 ? [[.success, none, .success], [none]] : [[], []]
        #expect(
            try client.packets() == [
                .unsuback(Unsuback(packetID: 11, reasonCodes: codes[0])),
                .unsuback(Unsuback(packetID: 12, reasonCodes: codes[1])),
            ]
        )
        for topic in ["a", "b", "c"] { try client.publish(topic, topic) }
        #expect(try client.texts() == ["b"])
    }

    @Test("[MQTT-4.7.3-4] filters are one only when their bytes are", arguments: ProtocolVersion.allCases)
    func noNormalization(_ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        try client.subscribe("caf\u{E9}", "cafe\u{301}")
        try client.publish("caf\u{E9}", "one")
        try client.publish("cafe\u{301}", "two")
        #expect(try client.texts() == ["one", "two"])
        try client.unsubscribe("caf\u{E9}")
        try client.publish("caf\u{E9}", "one")
        try client.publish("cafe\u{301}", "two")
        #expect(try client.texts() == ["two"])
    }

    @Test(
        "refuses a subscription above the limit, and takes changes of those there are",
        arguments: ProtocolVersion.allCases
    )
    func limit(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.subscriptionsPerSession = 2 }
        let client = try test.connect("a", version)
        let refused: ReasonCode = version == .v5 ? .quotaExceeded : .unspecifiedError
        #expect(try client.subscribe("a", "b", "c") == [.grantedQoS0, .grantedQoS0, refused])
        #expect(try client.subscribe("b", qos: .atLeastOnce) == [.grantedQoS1])
        try client.unsubscribe("a")
        #expect(try client.subscribe("c") == [.grantedQoS0])
    }

    @Test("refuses filters of too many levels")
    func levels() throws {
        let test = TestBroker { $0.topicLevels = 3 }
        #expect(try test.connect("a").subscribe("a/b/c", "a/b/c/d") == [.grantedQoS0, .topicFilterInvalid])
    }

    @Test(
        "[MQTT-4.6.0-5] [MQTT-4.6.0-6] keeps the order of one publisher's messages, over all QoS",
        arguments: ProtocolVersion.allCases
    )
    func order(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("s", version)
        try client.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p", version)
        let sent = (0..<60).map { "\($0)" }
        for (number, text) in sent.enumerated() { try publisher.publish("t", text, qos: QoS.allCases[number % 3]) }
        #expect(try client.texts() == sent)
    }

    @Test(
        "[MQTT-3.3.5-2 of 3.1.1] asks the authorizer for each topic and filter",
        arguments: ProtocolVersion.allCases
    )
    func authorizer(_ version: ProtocolVersion) throws {
        let test = TestBroker(authorizer: OnlyOwn())
        let client = try test.connect("a", version)
        let refused: ReasonCode = version == .v5 ? .notAuthorized : .unspecifiedError
        #expect(try client.subscribe("a/#", "b/#") == [.grantedQoS0, refused])
        // 3.1.1 has no word for it: acknowledged, and gone.
        let answer = try client.publish("b/x", "no", qos: .atLeastOnce)
        #expect(answer == (version == .v5 ? .notAuthorized : .success))
        let answer2 = try client.publish("b/x", "no", qos: .exactlyOnce)
        #expect(answer2 == (version == .v5 ? .notAuthorized : .success))
        try client.publish("b/x", "no")
        try client.publish("a/x", "yes")
        #expect(try client.texts() == ["yes"])
        #expect(test.broker.statistics.published == 1)
    }

    @Test("asks the authorizer for wills and for retained messages, too")
    func authorizerElsewhere() throws {
        let test = TestBroker(authorizer: OnlyOwn())
        let watcher = try test.connect("w")
        try watcher.subscribe("w/#")
        for topic in ["w/will", "a/will"] {
            let will = Will(topic: try TopicName(topic), payload: ByteBuffer(string: "gone"), retain: true)
            try test.connect("a") { $0.will = will }.drop()
        }
        #expect(try watcher.messages().isEmpty)
        #expect(test.broker.isRetained(try TopicName("w/will")) == false)
        #expect(test.broker.isRetained(try TopicName("a/will")))
        let gateway = SinkClient(test)
        gateway.connect(ConnectRequest(clientID: "b"))
        let refused = #expect(throws: RequestRefused.self) {
            _ = try test.broker.retainedMessage(of: TopicName("a/will"), for: gateway.connection).get()
        }
        #expect(refused?.reasonCode == .notAuthorized)
    }
}

/// Lets each client use the topics below its Client Identifier.
private final class OnlyOwn: Authorizer {
    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { topic.hasPrefix(client.clientID + "/") }
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { filter.hasPrefix(client.clientID + "/") }
}
