import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct SessionTests {
    @Test(
        "[MQTT-3.1.2-5] [MQTT-3.1.2-23] [MQTT-3.2.2-3] resumes a session with its subscriptions",
        arguments: ProtocolVersion.allCases
    )
    func resumes(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let first = try test.connectPersistent("a", version)
        try first.subscribe("t")
        first.disconnect()
        let again = try test.connectPersistent("a", version)
        #expect(again.connack?.sessionPresent == true)
        try test.connect("p").publish("t", "x")
        #expect(try again.texts() == ["x"])
    }

    @Test("[MQTT-3.1.2-6] [MQTT-3.2.2-3] makes a session where there is none", arguments: ProtocolVersion.allCases)
    func makesSession(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let first = try test.connectPersistent("a", version)
        #expect(first.connack?.sessionPresent == false)
        try first.subscribe("t")
        try first.publish("t", "x")
        #expect(try first.texts() == ["x"])
        first.drop()
        #expect(try test.connectPersistent("b", version).connack?.sessionPresent == false)
        #expect(try test.connectPersistent("a", version).connack?.sessionPresent == true)
    }

    @Test("[MQTT-3.1.2-4] [MQTT-3.1.4-4] starts afresh with Clean Start", arguments: ProtocolVersion.allCases)
    func cleanStart(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let first = try test.connectPersistent("a", version)
        try first.subscribe("t", qos: .atLeastOnce)
        first.disconnect()
        try test.connect("p").publish("t", "x", qos: .atLeastOnce)
        let clean = try test.connectPersistent("a", version) { $0.cleanStart = true }
        #expect(clean.connack?.sessionPresent == false)
        try test.connect("p").publish("t", "y", qos: .atLeastOnce)
        #expect(try clean.texts().isEmpty)
    }

    @Test("[MQTT-3.1.2-6] of 3.1.1 forgets a CleanSession session when its connection ends")
    func cleanSession() throws {
        let test = TestBroker()
        let first = try test.connect("a", .v3_1_1)
        try first.subscribe("t")
        first.drop()
        let again = try test.connectPersistent("a", .v3_1_1)
        #expect(again.connack?.sessionPresent == false)
        try test.connect("p").publish("t", "x")
        #expect(try again.texts().isEmpty)
    }

    @Test("MQTT 5.0 §3.1.2.11.2 ends a session without Session Expiry Interval with its connection")
    func noExpiry() throws {
        let test = TestBroker()
        try test.connect("a") { $0.cleanStart = false }.drop()
        #expect(try test.connect("a") { $0.cleanStart = false }.connack?.sessionPresent == false)
    }

    @Test("[MQTT-4.1.0-1] [MQTT-4.1.0-2] ends a session when its Session Expiry Interval has passed")
    func expires() throws {
        let test = TestBroker()
        let connect = {
            try test.connect("a") {
                $0.cleanStart = false
                $0.properties.sessionExpiryInterval = 10
            }
        }
        try connect().drop()
        test.advance(seconds: 9.9)
        let second = try connect()
        #expect(second.connack?.sessionPresent == true)
        // Connected, it does not age.
        test.advance(seconds: 100)
        second.drop()
        test.advance(seconds: 10)
        #expect(try connect().connack?.sessionPresent == false)
    }

    @Test("MQTT 5.0 §3.1.2.11.2 never ends a session with the interval 0xFFFFFFFF")
    func never() throws {
        let test = TestBroker()
        try test.connect("a") { $0.properties.sessionExpiryInterval = .max }.drop()
        test.advance(seconds: 1_000_000_000)
        #expect(try test.connect("a") { $0.cleanStart = false }.connack?.sessionPresent == true)
    }

    @Test(
        "MQTT 5.0 §3.14.2.2.2 DISCONNECT shortens, lengthens and ends a session",
        arguments: [(5, 5), (50, 50), (0, 0)] as [(UInt32, Double)]
    )
    func disconnectChangesExpiry(_ interval: UInt32, _ seconds: Double) throws {
        let test = TestBroker()
        let connect = {
            try test.connect("a") {
                $0.cleanStart = false
                $0.properties.sessionExpiryInterval = 10
            }
        }
        try connect().disconnect(sessionExpiryInterval: interval)
        if seconds > 0 {
            test.advance(seconds: seconds - 1)
            let again = try connect()
            #expect(again.connack?.sessionPresent == true)
            again.disconnect(sessionExpiryInterval: interval)
        }
        test.advance(seconds: seconds)
        #expect(try connect().connack?.sessionPresent == false)
    }

    @Test("MQTT 5.0 §3.1.2.11.2 a shorter interval counts from the last disconnect, whatever was waited for before")
    func shorterLater() throws {
        let test = TestBroker()
        let watcher = try test.connect("w")
        try watcher.subscribe("will")
        try test.connect("a") { $0.properties.sessionExpiryInterval = 1_000 }.drop()
        let again = try test.connect("a") {
            $0.cleanStart = false
            $0.properties.sessionExpiryInterval = 10
            $0.will = try? Will(topic: TopicName("will"), payload: .init(string: "gone"), delayInterval: 500)
        }
        again.drop()
        test.advance(seconds: 9)
        #expect(try watcher.texts().isEmpty)
        // The will is due when the session ends, which tells that it has ended.
        test.advance(seconds: 1)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("MQTT 5.0 §3.14.2.2.2 refuses to make a session last that was to end with its connection")
    func cannotBecomePersistent() throws {
        let test = TestBroker()
        let client = try test.connect("a")
        client.disconnect(sessionExpiryInterval: 10)
        #expect(try client.wasEnded(.protocolError))
        #expect(try test.connect("a") { $0.cleanStart = false }.connack?.sessionPresent == false)
    }

    @Test("MQTT 5.0 §3.2.2.3.2 grants no longer interval than the limit, and says so")
    func maximum() throws {
        let test = TestBroker { $0.sessionExpiryMaximum = 60 }
        let client = try test.connect("a") { $0.properties.sessionExpiryInterval = 3_600 }
        #expect(client.connack?.properties.sessionExpiryInterval == 60)
        client.disconnect(sessionExpiryInterval: 7_200)
        test.advance(seconds: 60)
        #expect(try test.connect("a") { $0.cleanStart = false }.connack?.sessionPresent == false)
        // CleanSession 0 of 3.1.1 has no say in it.
        try test.connectPersistent("b", .v3_1_1).drop()
        test.advance(seconds: 60)
        #expect(try test.connectPersistent("b", .v3_1_1).connack?.sessionPresent == false)
    }

    @Test("a session may go on in another version", arguments: ProtocolVersion.allCases)
    func versionChange(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let first = try test.connectPersistent("a", version)
        try first.subscribe("t", qos: .exactlyOnce)
        first.drop()
        try test.connect("p").publish("t", "x", qos: .exactlyOnce)
        let again = try test.connectPersistent("a", version == .v5 ? .v3_1_1 : .v5)
        #expect(again.connack?.sessionPresent == true)
        #expect(try again.texts() == ["x"])
    }

    @Test("a session whose new connection wants none ends with that", arguments: ProtocolVersion.allCases)
    func becomesTransient(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        try test.connectPersistent("a").drop()
        let again = try test.connect("a") { $0.cleanStart = false }
        #expect(again.connack?.sessionPresent == true)
        again.drop()
        #expect(try test.connectPersistent("a").connack?.sessionPresent == false)
    }

    @Test("[MQTT-3.1.3-2] Client Identifiers are one only when their bytes are")
    func noNormalization() throws {
        let test = TestBroker()
        let one = try test.connect("caf\u{E9}")
        let two = try test.connect("cafe\u{301}")
        #expect(!one.isClosed)
        #expect(try one.ping())
        #expect(try two.ping())
    }
}

@Suite struct TakeOverTests {
    @Test("[MQTT-3.1.4-3] ends the old connection when the client connects anew", arguments: ProtocolVersion.allCases)
    func takesOver(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let old = try test.connectPersistent("a", version)
        try old.subscribe("t")
        let new = try test.connectPersistent("a", version)
        #expect(try old.wasEnded(.sessionTakenOver))
        #expect(new.connack?.sessionPresent == true)
        try test.connect("p").publish("t", "x")
        #expect(try new.texts() == ["x"])
        #expect(old.unreadBytes == 0)
    }

    @Test("the end of the old network connection does not touch the new one", arguments: ProtocolVersion.allCases)
    func lateEnd(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let old = try test.connect("a", version)
        let new = try test.connect("a", version)
        old.drop()
        try new.subscribe("t")
        try new.publish("t", "x")
        #expect(try new.texts() == ["x"])
    }

    @Test("what an old connection still sends is not served", arguments: ProtocolVersion.allCases)
    func lateBytes(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let old = try test.connect("a", version)
        let new = try test.connect("a", version)
        try new.subscribe("t")
        _ = try old.packets()
        try old.sendPublish("t", "stale", qos: .atLeastOnce)
        old.send(.connect(Connect(version: version, clientID: "b")))
        #expect(try new.texts().isEmpty)
        #expect(old.unreadBytes == 0)
        #expect(old.outputBytes == 0)
    }

    @Test("a session that ends with its connection is not taken over but ends")
    func transient() throws {
        let test = TestBroker()
        let old = try test.connect("a")
        try old.subscribe("t")
        let new = try test.connect("a") { $0.cleanStart = false }
        #expect(new.connack?.sessionPresent == false)
        #expect(try old.wasEnded(.sessionTakenOver))
    }

    @Test("takes a session over from another protocol")
    func otherProtocol() throws {
        let test = TestBroker()
        let gateway = SinkClient(test)
        gateway.connect(.init(clientID: "a", cleanStart: false, sessionExpiryInterval: 100))
        gateway.subscribe("t", qos: .atLeastOnce)
        let client = try test.connectPersistent("a")
        #expect(gateway.closed == [.sessionTakenOver])
        #expect(client.connack?.sessionPresent == true)
        try test.connect("p").publish("t", "x", qos: .atLeastOnce)
        #expect(gateway.deliveries().isEmpty)
        #expect(try client.texts() == ["x"])
    }
}
