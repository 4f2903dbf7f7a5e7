import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

/// Topic Aliases of what the broker sends (MQTT 5.0 §3.3.2.3.4).
@Suite struct OutboundTopicAliasTests {
    private let test = TestBroker()

    private func subscriber(_ maximum: UInt16?, maximumPacketSize: UInt32? = nil) throws -> TestClient {
        let client = try test.connectPersistent("s") {
            $0.properties.topicAliasMaximum = maximum
            $0.properties.maximumPacketSize = maximumPacketSize
        }
        try client.subscribe("sensors/#", "t", qos: .exactlyOnce)
        return client
    }

    /// Topic Name and Topic Alias of a PUBLISH as they were sent.
    private struct Names: Equatable {
        var topic: String?
        var alias: UInt16?

        init(_ topic: String?, _ alias: UInt16?) {
            self.topic = topic
            self.alias = alias
        }

        init(_ publish: Publish) { self.init(publish.topic?.string, publish.properties.topicAlias) }
    }

    private func names(_ client: TestClient) throws -> [Names] { try client.messages().map(Names.init) }

    private func publish(_ topics: String..., qos: QoS = .atMostOnce) throws {
        let publisher = try test.connect("p")
        for topic in topics { try publisher.publish(topic, topic, qos: qos) }
    }

    @Test("[MQTT-3.1.2-27] sends no alias to a client that takes none", arguments: [nil, 0] as [UInt16?])
    func none(_ maximum: UInt16?) throws {
        let client = try subscriber(maximum)
        try publish("sensors/one", "sensors/one")
        #expect(try names(client) == [Names("sensors/one", nil), Names("sensors/one", nil)])
    }

    @Test("sends topic and alias first, and the alias alone from then on", arguments: QoS.allCases.dropLast())
    func known(_ qos: QoS) throws {
        let client = try subscriber(5)
        try publish("sensors/one", "sensors/two", "sensors/one", "sensors/two", qos: qos)
        #expect(
            try names(client) == [
                Names("sensors/one", 1), Names("sensors/two", 2), Names(nil, 1), Names(nil, 2),
            ]
        )
    }

    @Test("[MQTT-3.1.2-26] [MQTT-3.3.2-11] sends no alias above the client's Topic Alias Maximum")
    func maximum() throws {
        let client = try subscriber(2)
        try publish("sensors/one", "sensors/two", "sensors/three", "sensors/three", "sensors/two")
        #expect(
            try names(client) == [
                Names("sensors/one", 1), Names("sensors/two", 2), Names("sensors/three", nil),
                Names("sensors/three", nil), Names(nil, 2),
            ]
        )
    }

    @Test("keeps no more aliases than its own limit, whatever the client takes")
    func ownLimit() throws {
        let test = TestBroker { $0.topicAliasMaximum = 1 }
        let client = try test.connect("s") { $0.properties.topicAliasMaximum = .max }
        try client.subscribe("#")
        let publisher = try test.connect("p")
        for topic in ["sensors/one", "sensors/two", "sensors/one"] { try publisher.publish(topic) }
        #expect(try names(client) == [Names("sensors/one", 1), Names("sensors/two", nil), Names(nil, 1)])
    }

    @Test("wastes no alias on a topic that is short already")
    func short() throws {
        let client = try subscriber(5)
        try publish("t", "t")
        #expect(try names(client) == [Names("t", nil), Names("t", nil)])
    }

    @Test("[MQTT-3.3.2-7] an alias is one connection's own, also for what is sent again")
    func perConnection() throws {
        let first = try subscriber(5)
        try publish("sensors/one", "sensors/two", "sensors/one", qos: .atLeastOnce)
        #expect(try first.takePublishes().map(Names.init).last == Names(nil, 1))
        first.drop()
        let again = try subscriber(5)
        #expect(
            try again.takePublishes().map(Names.init) == [
                Names("sensors/one", 1), Names("sensors/two", 2), Names(nil, 1),
            ]
        )
        again.drop()
        #expect(
            try subscriber(nil).takePublishes().map { $0.topic?.string } == [
                "sensors/one", "sensors/two", "sensors/one",
            ]
        )
    }

    @Test("what waits for the store uses an alias that the client has, and sets none")
    func held() throws {
        let client = try subscriber(5)
        try publish("sensors/one", "sensors/one", qos: .exactlyOnce)
        #expect(try names(client) == [Names("sensors/one", nil), Names("sensors/one", nil)])
        try publish("sensors/one")
        try publish("sensors/one", qos: .exactlyOnce)
        #expect(try names(client) == [Names("sensors/one", 1), Names(nil, 1)])
    }

    @Test("a packet that was too large to be sent sets no alias", arguments: QoS.allCases.dropLast())
    func tooLarge(_ qos: QoS) throws {
        let client = try subscriber(5, maximumPacketSize: 60)
        let publisher = try test.connect("p")
        try publisher.publish("sensors/one", String(repeating: "x", count: 100), qos: qos)
        try publisher.publish("sensors/one", "short", qos: qos)
        try publisher.publish("sensors/one", String(repeating: "x", count: 100), qos: qos)
        try publisher.publish("sensors/one", "short", qos: qos)
        #expect(try names(client) == [Names("sensors/one", 1), Names(nil, 1)])
    }

    @Test("a packet that is too large only with an alias is sent without one", arguments: QoS.allCases.dropLast())
    func tooLargeWithAlias(_ qos: QoS) throws {
        let payload = String(repeating: "x", count: 40)
        // Fixed header 2, topic 13, properties 1.
        let size = 2 + 13 + (qos == .atMostOnce ? 0 : 2) + 1 + 40
        let client = try subscriber(5, maximumPacketSize: UInt32(size))
        let publisher = try test.connect("p")
        try publisher.publish("sensors/one", payload, qos: qos)
        try publisher.publish("sensors/one", "short", qos: qos)
        try publisher.publish("sensors/one", payload, qos: qos)
        #expect(try names(client) == [Names("sensors/one", nil), Names("sensors/one", 1), Names(nil, 1)])
    }

    @Test("clients of every kind resolve each topic, however messages come", arguments: 0..<10 as Range<UInt64>)
    func resolves(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let topics = (0..<8).map { "sensors/number/\($0)" } + ["t", "caf\u{E9} in one", "cafe\u{301} in two"]
        let clients = try (0..<6).map { number in
            let client = try test.connect("c\(number)", number == 0 ? .v3_1_1 : .v5) {
                if number > 0 { $0.properties.topicAliasMaximum = UInt16(generator.number(0...12)) }
            }
            try client.subscribe("#", qos: generator.pick(QoS.allCases))
            return client
        }
        var known = clients.map { _ in [UInt16: String]() }
        let publisher = try test.connect("p")
        for _ in 0..<200 {
            let topic = generator.pick(topics)
            try publisher.publish(topic, topic, qos: generator.pick(QoS.allCases))
            for (place, client) in clients.enumerated() {
                let message = try #require(try client.messages().first)
                let alias = message.properties.topicAlias
                if let alias, let topic = message.topic { known[place][alias] = topic.string }
                let resolved = message.topic?.string ?? alias.flatMap { known[place][$0] }
                #expect(resolved.map { Array($0.utf8) } == Array(topic.utf8))
            }
        }
    }
}
