import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

@Suite struct TopicAliasTests {
    private let test = TestBroker()
    private let subscriber: TestClient

    init() throws {
        subscriber = try test.connect("s")
        try subscriber.subscribe("#", qos: .exactlyOnce)
    }

    @Test("MQTT 5.0 §3.3.2.3.4 takes an alias for the topic it was set to", arguments: QoS.allCases)
    func sets(_ qos: QoS) throws {
        let client = try test.connect("a")
        try client.publish("one", "1", qos: qos) { $0.properties.topicAlias = 1 }
        try client.publish("two", "2", qos: qos) { $0.properties.topicAlias = 10 }
        try client.publish("", "3", qos: qos) { $0.properties.topicAlias = 1 }
        try client.publish("", "4", qos: qos) { $0.properties.topicAlias = 10 }
        try client.publish("three", "5", qos: qos) { $0.properties.topicAlias = 1 }
        try client.publish("", "6", qos: qos) { $0.properties.topicAlias = 1 }
        let messages = try subscriber.messages()
        #expect(messages.map { $0.topic?.string } == ["one", "two", "one", "two", "three", "three"])
        // [MQTT-3.3.2-7]: an alias is never forwarded.
        #expect(messages.allSatisfy { $0.properties.topicAlias == nil })
    }

    @Test("[MQTT-3.3.2-12] takes every alias up to its Topic Alias Maximum")
    func everyAlias() throws {
        let client = try test.connect("a")
        let maximum = try #require(client.connack?.properties.topicAliasMaximum)
        for alias in 1...maximum { try client.publish("topic/\(alias)") { $0.properties.topicAlias = alias } }
        for alias in 1...maximum { try client.publish("", "\(alias)") { $0.properties.topicAlias = alias } }
        let topics = (1...maximum).map { "topic/\($0)" }
        #expect(try subscriber.messages().map { $0.topic?.string } == topics + topics)
    }

    @Test("[MQTT-3.3.2-7] an alias is one connection's own")
    func perConnection() throws {
        let first = try test.connectPersistent("a")
        try first.publish("one", "1") { $0.properties.topicAlias = 1 }
        first.drop()
        let again = try test.connectPersistent("a")
        try again.sendPublish("", "2") { $0.properties.topicAlias = 1 }
        #expect(try again.wasEnded(.protocolError))
        #expect(try subscriber.texts() == ["1"])
    }

    @Test("[MQTT-3.3.2-8] [MQTT-3.3.2-9] ends the connection on an alias of 0 or above Topic Alias Maximum")
    func tooHigh() throws {
        let above = try test.connect("a")
        try above.sendPublish("t", "x") { $0.properties.topicAlias = 11 }
        #expect(try above.wasEnded(.topicAliasInvalid))
        let zero = try test.connect("b")
        zero.send(wire("30 * \"t\" { 23 0000 } 'x'"))
        #expect(try zero.wasEnded(.topicAliasInvalid))
        let none = try TestBroker { $0.topicAliasMaximum = 0 }.connect("c")
        #expect(none.connack?.properties.topicAliasMaximum == nil)
        try none.sendPublish("t", "x") { $0.properties.topicAlias = 1 }
        #expect(try none.wasEnded(.topicAliasInvalid))
        #expect(try subscriber.texts().isEmpty)
    }

    @Test("MQTT 5.0 §3.3.2.1 ends the connection when there is neither topic nor alias")
    func neither() throws {
        let client = try test.connect("a")
        client.send(wire("30 * \"\" {} 'x'"))
        #expect(try client.wasEnded(.protocolError))
        let other = try test.connect("b")
        other.send(wire("30 * \"\" { 26 \"a\" \"b\" } 'x'"))
        #expect(try other.wasEnded(.protocolError))
    }

    @Test("a message under an alias may be retained, and is under its topic")
    func retained() throws {
        let client = try test.connect("a")
        try client.publish("one", "1") { $0.properties.topicAlias = 1 }
        try client.publish("", "2", retain: true) { $0.properties.topicAlias = 1 }
        #expect(test.broker.isRetained(try TopicName("one")))
    }
}
