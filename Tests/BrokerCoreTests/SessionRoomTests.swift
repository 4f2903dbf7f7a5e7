import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct SessionRoomTests {
    private let one = "198.51.100.1"
    private let other = "198.51.100.2"

    private func sessions(_ count: Int, _ limits: (inout Limits) -> Void = { _ in }) -> TestBroker {
        TestBroker {
            $0.sessions = count
            $0.sessionShares = Shares(perAddress: count, perUser: count)
            limits(&$0)
        }
    }

    private func tryToConnect(
        _ clientID: String,
        _ test: TestBroker,
        _ version: ProtocolVersion = .v5,
        from address: String = "192.0.2.1"
    ) throws -> ReasonCode? {
        try test.open(version, from: address).connect(clientID) {
            $0.cleanStart = false
            if version == .v5 { $0.properties.sessionExpiryInterval = 3_600 }
        }?.reasonCode
    }

    @Test(
        "sessions that end with their connections go on when there is no room for others",
        arguments: ProtocolVersion.allCases
    )
    func cleanSessions(_ version: ProtocolVersion) throws {
        let test = sessions(2)
        let kept = try ["1", "2"].map { try test.connectPersistent($0, version) }
        #expect(try tryToConnect("3", test, version)?.isError == true)
        for number in 0..<10 { #expect(try test.connect("clean\(number)", version).ping()) }
        // Those that are there go on, and one that leaves makes room.
        kept[0].drop()
        #expect(try test.connectPersistent("1", version).connack?.sessionPresent == true)
        kept[1].send(.disconnect(Disconnect(sessionExpiryInterval: 0)))
        if version == .v5 { #expect(try tryToConnect("3", test) == .success) }
    }

    @Test("a refused session is Quota exceeded, in MQTT 3.1.1 Server unavailable", arguments: ProtocolVersion.allCases)
    func reason(_ version: ProtocolVersion) throws {
        let test = sessions(1)
        let client = try test.connectPersistent("1", version)
        #expect(try tryToConnect("2", test, version) == (version == .v5 ? .quotaExceeded : .serverUnavailable))
        #expect(try client.ping())
        #expect(test.broker.statistics.sessionsRefused == 1)
    }

    @Test("of idle sessions the one that was left longest ago gives way to a new one")
    func oldestGivesWay() throws {
        let test = sessions(3)
        for name in ["a", "b", "c"] { try test.connectPersistent(name).drop() }
        // Who came back is not the oldest any more.
        try test.connectPersistent("a").drop()
        #expect(try tryToConnect("d", test) == .success)
        #expect(test.broker.sessionCount == 3)
        #expect(try test.connectPersistent("a").connack?.sessionPresent == true)
        #expect(try test.connectPersistent("c").connack?.sessionPresent == true)
        #expect(test.broker.statistics.sessionsGivenWay == 1)
        test.storeAll()
        #expect(try test.store.sessions == ["a", "c", "d"])
    }

    @Test("a session for which something waits never gives way: queued, sent, half received, a will", arguments: 0..<4)
    func waiting(_ kind: Int) throws {
        let test = sessions(1)
        let client = try test.connectPersistent("a") {
            guard kind == 3 else { return }
            $0.will = try? Will(topic: TopicName("w"), payload: ByteBuffer(string: "gone"), delayInterval: 1_000)
        }
        try client.subscribe("t", qos: .atLeastOnce)
        if kind == 1 { try test.connect("p").publish("t", "sent", qos: .atLeastOnce) }
        if kind == 2 {
            client.send(.publish(Publish(topic: try TopicName("x"), qos: .exactlyOnce, packetID: 7)))
        }
        client.drop()
        if kind == 0 { try test.connect("p").publish("t", "queued", qos: .atLeastOnce) }
        #expect(try tryToConnect("b", test) == .quotaExceeded)
        #expect(try test.connectPersistent("a").connack?.sessionPresent == true)
    }

    @Test("a session gives way again once what waited for it is gone")
    func emptied() throws {
        let test = sessions(1)
        let client = try test.connectPersistent("a")
        try client.subscribe("t", qos: .atLeastOnce)
        client.drop()
        try test.connect("p").publish("t", "short", qos: .atLeastOnce) { $0.properties.messageExpiryInterval = 10 }
        #expect(try tryToConnect("b", test) == .quotaExceeded)
        test.advance(seconds: 120)
        #expect(try tryToConnect("b", test) == .success)
    }

    @Test("no session of another address gives way, nor one that is connected")
    func others() throws {
        let test = sessions(2)
        try test.connectPersistent("theirs", from: one).drop()
        let connected = try test.connectPersistent("mine", from: other)
        #expect(try tryToConnect("new", test, from: other) == .quotaExceeded)
        #expect(try connected.ping())
        #expect(try tryToConnect("new", test, from: one) == .success)
        #expect(test.broker.sessionCount == 2)
    }

    @Test("one address has its share of sessions, beyond which its own idle ones give way; others have room")
    func share() throws {
        let test = TestBroker { $0.sessions = 100 }
        for number in 0..<200 { try test.connectPersistent("a\(number)", from: one).drop() }
        #expect(test.broker.sessionCount == 50)
        let held = try (0..<50).map { try test.connectPersistent("h\($0)", from: one) }
        #expect(try tryToConnect("more", test, from: one) == .quotaExceeded)
        #expect(try tryToConnect("b", test, from: other) == .success)
        #expect(try held[0].ping())
    }

    @Test("a user's idle session gives way to the same user's, wherever it was left")
    func users() throws {
        let test = TestBroker(
            authenticator: NamedUsers(),
            limits: {
                $0.sessions = 10
                $0.sessionShares = Shares(perUser: 2)
            }
        )
        func connect(_ clientID: String, _ user: String?, from address: String) throws -> ReasonCode? {
            try test.open(from: address).connect(clientID) {
                $0.userName = user
                $0.cleanStart = false
                $0.properties.sessionExpiryInterval = 3_600
            }?.reasonCode
        }
        #expect(try connect("a", "alice", from: one) == .success)
        #expect(try connect("b", "alice", from: other) == .success)
        // Both are connected.
        #expect(try connect("c", "alice", from: "198.51.100.3") == .quotaExceeded)
        #expect(try connect("d", "bob", from: one) == .success)
        let again = try test.connectPersistent("a", from: one) { $0.userName = "alice" }
        again.drop()
        #expect(try connect("c", "alice", from: "198.51.100.3") == .success)
        #expect(test.broker.sessionCount == 3)
    }

    @Test("sessions come and go, and their shares with them")
    func balance() throws {
        let test = TestBroker()
        for round in 0..<3 {
            for number in 0..<50 {
                let client = try test.connectPersistent("\(number)", from: "198.51.100.\(number)")
                try client.subscribe("a/+/\(number)", qos: .atLeastOnce)
                if (number + round) % 2 == 0 { client.drop() } else { client.disconnect() }
                try test.connect("p").publish("a/x/\(number)", "x", qos: .atLeastOnce)
            }
        }
        try test.connect("p").disconnect()
        #expect(test.broker.usage.holders > 0)
        test.advance(seconds: 10_000)
        #expect(test.broker.sessionCount == 0)
        #expect(test.broker.usage == MemoryUsage())
    }

    @Test("sessions that come back after a restart are counted, for their users")
    func restarted() throws {
        let test = sessions(2)
        for name in ["a", "b"] { try test.connectPersistent(name).drop() }
        test.storeAll()
        let again = TestBroker(store: test.store, time: test.broker.now) {
            $0.sessions = 2
            $0.sessionShares = Shares(perAddress: 2)
        }
        // Whose they are is not known any more: they give way to nobody.
        #expect(try tryToConnect("c", again) == .quotaExceeded)
        #expect(try again.connectPersistent("a").connack?.sessionPresent == true)
    }
}

/// Believes every user name.
private final class NamedUsers: Authenticator {
    func authenticate(_ credentials: Credentials) -> Authentication { .accepted(userName: credentials.userName) }
}
