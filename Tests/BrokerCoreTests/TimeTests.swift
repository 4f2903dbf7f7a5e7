import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct TimeTests {
    @Test(
        "[MQTT-3.1.2-22] [MQTT-3.2.2-22] ends a connection that is silent for one and a half times its Keep Alive",
        arguments: ProtocolVersion.allCases
    )
    func keepAlive(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version) { $0.keepAlive = 10 }
        test.advance(seconds: 14.9)
        #expect(!client.isClosed)
        test.advance(seconds: 0.1)
        #expect(try client.wasEnded(.keepAliveTimeout))
    }

    @Test(
        "[MQTT-3.1.2-22] counts from the last packet, whatever it is",
        arguments: ProtocolVersion.allCases,
        [10, 100, 65_535] as [UInt16]
    )
    func keptAlive(_ version: ProtocolVersion, _ keepAlive: UInt16) throws {
        let test = TestBroker()
        let client = try test.connect("a", version) { $0.keepAlive = keepAlive }
        for _ in 0..<5 {
            test.advance(seconds: Double(keepAlive) * 1.4)
            #expect(try client.ping())
            test.advance(seconds: Double(keepAlive) * 1.4)
            try client.publish("t")
        }
        test.advance(seconds: Double(keepAlive) * 1.5)
        #expect(try client.wasEnded(.keepAliveTimeout))
    }

    @Test("what the broker sends does not keep a client alive", arguments: ProtocolVersion.allCases)
    func notKeptAlive(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version) { $0.keepAlive = 10 }
        try client.subscribe("t")
        let publisher = try test.connect("p")
        for _ in 0..<15 {
            try publisher.publish("t")
            test.advance(seconds: 1)
        }
        #expect(client.isClosed)
    }

    @Test("MQTT 5.0 §3.1.2.10 never checks a client with Keep Alive 0", arguments: ProtocolVersion.allCases)
    func withoutKeepAlive(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version)
        test.advance(seconds: 1_000_000)
        #expect(!client.isClosed)
    }

    @Test("MQTT 5.0 §3.2.2.3.14 tells the Keep Alive it wants, and goes by it", arguments: [0, 600] as [UInt16])
    func serverKeepAlive(_ requested: UInt16) throws {
        let test = TestBroker { $0.keepAliveMaximum = 60 }
        let client = try test.connect("a") { $0.keepAlive = requested }
        #expect(client.connack?.properties.serverKeepAlive == 60)
        test.advance(seconds: 89)
        #expect(!client.isClosed)
        test.advance(seconds: 1)
        #expect(try client.wasEnded(.keepAliveTimeout))
        #expect(try test.connect("b") { $0.keepAlive = 30 }.connack?.properties.serverKeepAlive == nil)
    }

    @Test(
        "leaves a 3.1.1 client the Keep Alive it asked for, since it can be told no other",
        arguments: [0, 600] as [UInt16]
    )
    func untoldKeepAlive(_ requested: UInt16) throws {
        let test = TestBroker { $0.keepAliveMaximum = 60 }
        let client = try test.connect("a", .v3_1_1) { $0.keepAlive = requested }
        test.advance(seconds: 899)
        #expect(!client.isClosed)
        test.advance(seconds: 1)
        #expect(client.isClosed == (requested > 0))
    }

    @Test(
        "[MQTT-3.14.0-1] closes a network connection that sends no CONNECT in time",
        arguments: ProtocolVersion.allCases
    )
    func connectTimeout(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.connectTimeout = 5 }
        let silent = test.open(version)
        let slow = test.open(version)
        let good = test.open(version)
        try good.connect("a")
        test.advance(seconds: 4)
        slow.send(wire("10"))
        test.advance(seconds: 1)
        #expect(silent.isClosed)
        #expect(silent.unreadBytes == 0)
        #expect(slow.isClosed)
        #expect(!good.isClosed)
        #expect(try good.ping())
    }

    @Test("a CONNECT that comes after the timeout makes no session", arguments: ProtocolVersion.allCases)
    func lateConnect(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let watcher = try test.connect("w")
        try watcher.subscribe("will")
        let late = test.open(version)
        test.advance(seconds: 10)
        try late.connect("a") { $0.will = try? Will(topic: TopicName("will"), payload: .init()) }
        late.drop()
        #expect(late.unreadBytes == 0)
        #expect(try watcher.messages().isEmpty)
    }

    @Test("a connection that has ended leaves no timer behind that does harm", arguments: ProtocolVersion.allCases)
    func afterEnd(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        for _ in 0..<5 {
            let client = try test.connect("a", version) { $0.keepAlive = 1 }
            client.drop()
        }
        let client = try test.connect("a", version) { $0.keepAlive = 10 }
        test.advance(seconds: 12)
        #expect(try client.ping())
    }
}

@Suite struct ShutdownTests {
    @Test(
        "MQTT 5.0 §4.13 tells every client that the server shuts down, and takes no more",
        arguments: ProtocolVersion.allCases
    )
    func shutdown(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let clients = try (0..<3).map { try test.connect("\($0)", version) }
        test.broker.shutdown()
        test.flush()
        for client in clients { #expect(try client.wasEnded(.serverShuttingDown)) }
        let late = test.open(version)
        #expect(try late.connect("late")?.reasonCode == .serverUnavailable)
        #expect(late.isClosed)
    }

    @Test("delivers what it took before it shuts down", arguments: ProtocolVersion.allCases)
    func lastWords(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("s", version)
        try client.subscribe("t", qos: .atLeastOnce)
        try test.connect("p").sendPublish("t", "x", qos: .atLeastOnce)
        test.broker.shutdown()
        #expect(try client.takePublish()?.text == "x")
    }

    @Test(
        "[MQTT-3.1.2-8] a shutdown publishes wills, each once, while all who want them are there",
        arguments: ProtocolVersion.allCases
    )
    func wills(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        func connect(_ name: String, delay: UInt32 = 0, isLasting: Bool) throws -> TestClient {
            try test.connect(name, version) {
                if isLasting, version == .v5 { $0.properties.sessionExpiryInterval = 100 }
                $0.cleanStart = !isLasting
                $0.will = try? Will(
                    topic: TopicName("will/\(name)"),
                    payload: ByteBuffer(string: name),
                    delayInterval: version == .v5 ? delay : 0
                )
            }
        }
        let clients = [
            try connect("a", isLasting: true), try connect("b", isLasting: false),
            try connect("c", delay: 10, isLasting: false),
        ]
        for client in clients { try client.subscribe("will/#") }
        test.broker.shutdown()
        test.broker.shutdown()
        for client in clients {
            #expect(try client.texts().sorted() == ["a", "b", "c"])
            #expect(client.isClosed)
        }
    }

    @Test("[MQTT-3.1.3-9] a shutdown leaves a will its delay when the session outlives it")
    func delayedWill() throws {
        let test = TestBroker()
        let watcher = try test.connectPersistent("w")
        try watcher.subscribe("will", qos: .atLeastOnce)
        _ = try test.connect("a") {
            $0.properties.sessionExpiryInterval = 100
            $0.will = try? Will(
                topic: TopicName("will"),
                payload: ByteBuffer(string: "gone"),
                qos: .atLeastOnce,
                delayInterval: 10
            )
        }
        test.broker.shutdown()
        #expect(try watcher.texts().isEmpty)
        let next = test.restarted()
        let again = try next.connectPersistent("w")
        #expect(try again.texts().isEmpty)
        next.advance(seconds: 10)
        #expect(try again.texts() == ["gone"])
    }

    @Test("a shutdown leaves the broker's own sessions, which take the wills")
    func ownSessions() throws {
        let test = TestBroker()
        let webhook = SinkClient(test)
        var request = ConnectRequest(clientID: "webhook:w", cleanStart: false, sessionExpiryInterval: .max)
        request.scope = .own
        webhook.connect(request)
        webhook.subscribe("will")
        _ = try test.connect("a") {
            $0.will = try? Will(topic: TopicName("will"), payload: ByteBuffer(string: "gone"))
        }
        test.broker.shutdown()
        test.flush()
        #expect(webhook.deliveries().map(\.text) == ["gone"])
        #expect(webhook.closed.isEmpty)
    }

    @Test("a shutdown keeps persistent sessions for the next start")
    func sessionsStay() throws {
        let test = TestBroker()
        let client = try test.connectPersistent("s")
        try client.subscribe("t")
        test.broker.shutdown()
        let next = test.restarted()
        #expect(try next.connectPersistent("s").connack?.sessionPresent == true)
    }
}
