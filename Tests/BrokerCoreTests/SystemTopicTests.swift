import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// `$SYS` (MQTT 5.0 §4.7.2).
@Suite struct SystemTopicTests {
    private let test: TestBroker

    init() {
        test = TestBroker { $0.retainedMessages = 1 }
        test.broker.publishSystemTopics(every: .seconds(10), version: "1.2.3")
    }

    /// What a new subscriber of `$SYS/#` is sent, by topic below `$SYS/broker/`.
    private func values() throws -> [String: String] {
        let client = try test.connect("reader")
        try client.subscribe("$SYS/#")
        return try received(client)
    }

    private func subscriber(_ filters: String...) throws -> TestClient {
        let client = try test.connect("watcher")
        for filter in filters.isEmpty ? ["$SYS/#"] : filters { try client.subscribe(filter) }
        return client
    }

    private func received(_ client: TestClient) throws -> [String: String] {
        var values: [String: String] = [:]
        for message in try client.messages() {
            let topic = try #require(message.topic?.string)
            #expect(topic.hasPrefix("$SYS/broker/"))
            #expect(values.updateValue(message.text, forKey: String(topic.dropFirst(12))) == nil, "\(topic) twice")
        }
        return values
    }

    @Test("tells its version, its clients, its subscriptions and what it has counted")
    func counts() throws {
        _ = try test.connect("a")
        try test.connectPersistent("away").drop()
        let client = try test.connect("b")
        try client.subscribe("x/#", "y")
        try client.subscribe("$share/g/z")
        try client.publish("y", "12345", retain: true)
        try client.publish("y", "123", qos: .atLeastOnce)
        test.advance(seconds: 10)
        let statistics = test.broker.statistics
        let values = try values()
        #expect(values["version"] == "sluice version 1.2.3")
        #expect(values["uptime"] == "10 seconds")
        #expect(values["clients/connected"] == "2")
        #expect(values["clients/connected/mqtt"] == "2")
        #expect(values["clients/connected/coap"] == "0")
        #expect(values["clients/disconnected"] == "1")
        #expect(values["clients/total"] == "3")
        #expect(values["clients/maximum"] == "2")
        #expect(values["clients/expired"] == "0")
        #expect(values["retained messages/count"] == "1")
        #expect(values["subscriptions/count"] == "3")
        #expect(values["shared_subscriptions/count"] == "1")
        #expect(values["publish/messages/received"] == "2")
        #expect(values["publish/messages/sent"] == "2")
        #expect(values["publish/messages/dropped"] == "0")
        #expect(values["publish/bytes/received"] == "8")
        #expect(values["publish/bytes/sent"] == "8")
        // 3 CONNECT, 2 SUBSCRIBE, 2 PUBLISH; 3 CONNACK, 2 SUBACK, 2 PUBLISH, PUBACK.
        #expect(values["messages/received"] == "7")
        #expect(values["messages/sent"] == "8")
        #expect(values["bytes/received"] == "\(statistics.bytesReceived)")
        #expect(values["bytes/sent"] == "\(statistics.bytesSent)")
        let before = test.broker.statistics
        client.send(wire("c000 c000 c000"))
        #expect(test.broker.statistics.bytesReceived == before.bytesReceived + 6)
        #expect(test.broker.statistics.bytesSent == before.bytesSent + 6)
    }

    @Test("others publish theirs along with it, when they have changed")
    func sources() throws {
        try test.connectPersistent("away").subscribe("x", qos: .atLeastOnce)
        test.broker.publishSystemTopics(under: "more/of it") { broker in
            [("constant", "1"), ("away/waiting", "\(broker.pendingMessages(of: .client("away")))")]
        }
        let client = try subscriber("$SYS/broker/more/#")
        test.advance(seconds: 10)
        #expect(try received(client) == ["more/of it/constant": "1", "more/of it/away/waiting": "0"])
        for text in ["a", "b"] { try test.connect("p").publish("x", text, qos: .atLeastOnce) }
        test.advance(seconds: 10)
        #expect(try received(client) == ["more/of it/away/waiting": "2"])
        #expect(test.broker.pendingMessages(of: .client("nobody")) == 0)
    }

    @Test("counts sessions that have expired")
    func expired() throws {
        try test.connect("a") { $0.properties.sessionExpiryInterval = 5 }.drop()
        test.advance(seconds: 9)
        test.advance(seconds: 1)
        let values = try values()
        #expect(values["clients/expired"] == "1")
        #expect(values["clients/total"] == "0")
    }

    @Test(
        "[MQTT-4.7.2-1] keeps them from filters that begin with a wildcard",
        arguments: ["#", "+/#", "+/broker/version"]
    )
    func hidden(_ filter: String) throws {
        let client = try subscriber(filter)
        test.advance(seconds: 10)
        #expect(try client.messages().isEmpty)
    }

    @Test(
        "sends those that a filter matches, retained at first and as they change",
        arguments: ProtocolVersion.allCases
    )
    func filters(_ version: ProtocolVersion) throws {
        let client = try test.connect("watcher", version)
        try client.subscribe("$SYS/broker/uptime")
        try client.subscribe("$SYS/+/version")
        test.advance(seconds: 10)
        let messages = try client.messages()
        #expect(messages.map(\.text) == ["0 seconds", "sluice version 1.2.3", "10 seconds"])
        #expect(messages.map(\.retain) == [true, true, false])
        #expect(messages.allSatisfy { $0.qos == .atMostOnce })
    }

    @Test("publishes only what has changed")
    func changes() throws {
        let client = try subscriber("$SYS/broker/clients/#", "$SYS/broker/uptime", "$SYS/broker/version")
        _ = try received(client)
        test.advance(seconds: 10)
        // The watcher itself has connected since the last time.
        #expect(
            try received(client) == [
                "uptime": "10 seconds", "clients/connected": "1", "clients/total": "1", "clients/maximum": "1",
                "clients/connected/mqtt": "1",
            ]
        )
        test.advance(seconds: 10)
        #expect(try received(client) == ["uptime": "20 seconds"])
        try test.connectPersistent("a").drop()
        test.advance(seconds: 10)
        #expect(
            try received(client) == [
                "uptime": "30 seconds", "clients/disconnected": "1", "clients/total": "2", "clients/maximum": "2",
            ]
        )
    }

    @Test("averages how often something happens per minute over one, five and fifteen minutes")
    func loads() throws {
        let client = try test.connect("p")
        for _ in 0..<10 { try client.publish("t") }
        test.advance(seconds: 10)
        let first = try values()
        // 60 a minute, weighed by 1 - e^(-10 s / window).
        #expect(first["load/publish/received/1min"] == "9.21")
        #expect(first["load/publish/received/5min"] == "1.97")
        #expect(first["load/publish/received/15min"] == "0.66")
        #expect(first["load/publish/dropped/1min"] == "0.00")
        test.advance(seconds: 10)
        // It falls by e^(-10 s / window).
        #expect(try values()["load/publish/received/1min"] == "7.80")
    }

    @Test("takes nothing from clients there", arguments: ProtocolVersion.allCases, QoS.allCases)
    func clientsDoNotPublish(_ version: ProtocolVersion, _ qos: QoS) throws {
        let watcher = try subscriber()
        let before = try received(watcher)
        let client = try test.connect("a", version)
        let answer = try client.publish("$SYS/broker/version", "forged", qos: qos, retain: true)
        let refused: ReasonCode = version == .v5 ? .notAuthorized : .success
        #expect(answer == (qos == .atMostOnce ? nil : refused))
        try client.publish("$SYS/made/up", "forged", qos: qos)
        // [MQTT-4.7.1-2 of 3.1.1]: $SYS/# has it, too.
        try client.publish("$SYS", "forged", qos: qos, retain: true)
        #expect(try watcher.messages().isEmpty)
        #expect(try values()["version"] == before["version"])
        // Other topics with $ are the clients' own.
        try watcher.subscribe("$own/#")
        try client.publish("$own/x", "free", qos: qos)
        try client.publish("$SYSTEM", "free", qos: qos)
        #expect(try values().count == before.count)
        #expect(test.broker.statistics.published == 2)
    }

    @Test("publishes no client's will there", arguments: ["$SYS/broker/version", "$SYS"])
    func noWill(_ topic: String) throws {
        let watcher = try subscriber()
        _ = try watcher.messages()
        let will = Will(
            topic: try TopicName(topic),
            payload: ByteBuffer(string: "forged"),
            retain: true
        )
        try test.connect("a") { $0.will = will }.drop()
        #expect(try watcher.messages().isEmpty)
        #expect(try values()["version"] == "sluice version 1.2.3")
    }

    @Test("they take no room from retained messages, and are not stored")
    func apart() throws {
        let client = try test.connect("a")
        #expect(try client.publish("t", "x", qos: .atLeastOnce, retain: true)?.isError == false)
        #expect(try client.publish("u", "x", qos: .atLeastOnce, retain: true) == .quotaExceeded)
        test.advance(seconds: 10)
        #expect(try test.store.retainedTopics == ["t"])
    }

    @Test("gateways read them as they read retained messages")
    func gateway() throws {
        let gateway = SinkClient(test)
        gateway.connect(ConnectRequest(clientID: "g"))
        let message = try test.broker.retainedMessage(of: TopicName("$SYS/broker/version"), for: gateway.connection)
            .get()
        #expect(message.map { String(buffer: $0.payload) } == "sluice version 1.2.3")
    }

    @Test("there are none unless they are asked for")
    func off() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        try client.subscribe("$SYS/#")
        test.advance(seconds: 1_000)
        #expect(try client.messages().isEmpty)
    }
}
