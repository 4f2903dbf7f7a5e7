import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite("A session belongs to the user who made it") struct SessionOwnerTests {
    private let test = TestBroker(authenticator: ProvenUsers())

    private func connect(
        _ clientID: String = "meter",
        as userName: String?,
        _ version: ProtocolVersion = .v5,
        on test: TestBroker? = nil,
        _ configure: (inout Connect) -> Void = { _ in }
    ) throws -> TestClient {
        try (test ?? self.test).connectPersistent(clientID, version) {
            $0.userName = userName
            configure(&$0)
        }
    }

    private func refusal(
        _ clientID: String = "meter",
        as userName: String?,
        _ version: ProtocolVersion = .v5,
        on test: TestBroker? = nil
    ) throws -> ReasonCode? {
        let client = (test ?? self.test).open(version)
        return try client.connect(clientID) {
            $0.cleanStart = true
            $0.userName = userName
        }?.reasonCode
    }

    @Test(
        "another user's CONNECT is refused and takes nothing",
        arguments: [ProtocolVersion.v5, .v3_1_1],
        ["bob", nil]
    )
    func anotherUsersCONNECTRefused(version: ProtocolVersion, stranger: String?) throws {
        let watcher = try test.connect("watcher")
        try watcher.subscribe("gone")
        let alice = try connect(as: "alice") {
            $0.will = Will(topic: try! TopicName("gone"), payload: ByteBuffer(string: "alice"))
        }
        try alice.subscribe("t", qos: .atLeastOnce)
        #expect(try refusal(as: stranger, version) == .clientIdentifierNotValid)
        #expect(try alice.ping())
        try watcher.publish("t", "1", qos: .atLeastOnce)
        #expect(try alice.texts() == ["1"])
        alice.disconnect()
        try watcher.publish("t", "2", qos: .atLeastOnce)
        #expect(try refusal(as: stranger, version) == .clientIdentifierNotValid)
        let again = try connect(as: "alice")
        #expect(again.connack?.sessionPresent == true)
        #expect(try again.texts() == ["2"])
        #expect(try watcher.texts().isEmpty)
    }

    @Test("the owner's CONNECT is a takeover") func ownersCONNECTTakeover() throws {
        let first = try connect(as: "alice")
        let second = try connect(as: "alice")
        #expect(second.connack?.sessionPresent == true)
        #expect(try first.wasEnded(.sessionTakenOver))
    }

    @Test("a user's CONNECT ends an anonymous session of that name, and begins a new one")
    func usersCONNECTEndsAnonymous() throws {
        let anonymous = try connect(as: nil)
        try anonymous.subscribe("t", qos: .atLeastOnce)
        let alice = try connect(as: "alice")
        #expect(alice.connack?.sessionPresent == false)
        #expect(try anonymous.wasEnded(.sessionTakenOver))
        try alice.publish("t", "1", qos: .atLeastOnce)
        #expect(try alice.texts().isEmpty)
        #expect(try refusal(as: nil) == .clientIdentifierNotValid)
    }

    @Test("user names are the same only byte for byte") func userNamesSameOnly() throws {
        _ = try connect(as: "ren\u{e9}")
        #expect(try refusal(as: "rene\u{301}") == .clientIdentifierNotValid)
    }

    @Test("Client Identifiers are the same only byte for byte") func clientIdentifiersSameOnly() throws {
        _ = try connect("dev-\u{e9}", as: "alice")
        #expect(try refusal("dev-e\u{301}", as: "bob") == .success)
    }

    @Test("a session without a connection that is over is nobody's") func sessionWithoutConnectionOver() throws {
        try connect(as: "alice") { $0.properties.sessionExpiryInterval = 10 }.disconnect()
        #expect(try refusal(as: "bob") == .clientIdentifierNotValid)
        test.advance(seconds: 11)
        #expect(try refusal(as: "bob") == .success)
    }

    @Test("it is the user's after a restart, too") func usersAfterRestartToo() throws {
        _ = try connect(as: "alice")
        _ = try connect("lamp", as: nil)
        test.storeAll()
        let next = TestBroker(authenticator: ProvenUsers(), store: test.store, time: test.broker.now)
        #expect(try refusal(as: "bob", on: next) == .clientIdentifierNotValid)
        #expect(try connect(as: "alice", on: next).connack?.sessionPresent == true)
        #expect(try connect("lamp", as: "bob", on: next).connack?.sessionPresent == false)
    }

    @Test("a name that nobody has proven owns nothing") func nameNobodyProvenOwns() throws {
        let open = TestBroker()
        _ = try connect(as: "alice", on: open)
        #expect(try connect(as: "bob", on: open).connack?.sessionPresent == true)
        open.storeAll()
        let closed = TestBroker(authenticator: ProvenUsers(), store: open.store, time: open.broker.now)
        #expect(try connect(as: "carol", on: closed).connack?.sessionPresent == false)
    }

    @Test("a request, or a device without a session, does not speak under another user's Client Identifier")
    func requestDeviceWithoutSession()
        throws
    {
        _ = try connect(as: "alice")
        for scope in [ConnectRequest.Scope.request, .connection, .clientID] {
            for userName in ["bob", nil] {
                var request = ConnectRequest(clientID: "meter", userName: userName)
                request.scope = scope
                #expect(SinkClient(test).connect(request).reasonCode == .clientIdentifierNotValid)
            }
        }
    }

    @Test(
        "a request, or a device without a session, leaves the session of its Client Identifier alone",
        arguments: [ConnectRequest.Scope.request, .connection]
    )
    func requestDeviceWithoutSession2(
        scope: ConnectRequest.Scope
    ) throws {
        let alice = try connect(as: "alice")
        try alice.subscribe("t")
        var request = ConnectRequest(clientID: "meter", userName: "alice")
        request.scope = scope
        let device = SinkClient(test)
        #expect(device.connect(request).reasonCode == .success)
        device.subscribe("t")
        try device.publish("t", "1")
        #expect(device.deliveries().map(\.text) == ["1"])
        #expect(try alice.texts() == ["1"])
        device.disconnect()
        #expect(try alice.ping())
    }

    @Test(
        "a connection without a session of a name ends with its user, its token and the broker",
        arguments: [ConnectRequest.Scope.request, .connection]
    )
    func connectionWithoutSessionName(
        scope: ConnectRequest.Scope
    ) throws {
        var request = ConnectRequest(clientID: "meter", userName: "alice")
        request.scope = scope
        let (first, second) = (SinkClient(test), SinkClient(test))
        first.connect(request)
        test.broker.endConnections(reason: .notAuthorized) { $1 == "alice" }
        test.flush()
        #expect(first.closed == [.notAuthorized])
        second.connect(request)
        test.broker.shutdown()
        #expect(second.closed == [.serverShuttingDown])
    }

    @Test(
        "a Client Identifier that MQTT can't say is refused, whichever way it has come",
        arguments: ["a\u{0}b", "\u{0}webhook:orders", String(repeating: "x", count: 65_536)]
    )
    func clientIdentifierMQTTCant(clientID: String) {
        let request = ConnectRequest(clientID: clientID)
        #expect(SinkClient(test).connect(request).reasonCode == .clientIdentifierNotValid)
    }
}

@Suite("The broker's own sessions are not in the clients' name space") struct OwnSessionTests {
    private func connectOwn(_ test: TestBroker, as client: SinkClient) -> ConnectResult {
        var request = ConnectRequest(
            clientID: "webhook:orders",
            cleanStart: false,
            sessionExpiryInterval: .max,
            userName: "orders"
        )
        request.scope = .own
        return client.connect(request)
    }

    @Test("a client of that name has a session of its own") func clientNameSessionOwn() throws {
        let test = TestBroker()
        let webhook = SinkClient(test)
        #expect(connectOwn(test, as: webhook).reasonCode == .success)
        webhook.subscribe("orders", qos: .atLeastOnce)
        let thief = try test.connectPersistent("webhook:orders")
        #expect(thief.connack?.sessionPresent == false)
        try thief.publish("orders", "1", qos: .atLeastOnce)
        #expect(webhook.deliveries().map(\.text) == ["1"])
        #expect(webhook.closed.isEmpty)
        #expect(try thief.texts().isEmpty)
        #expect(test.broker.pendingMessages(of: .own("webhook:orders")) == 1)
        // After a restart as well.
        let next = test.restarted()
        #expect(try next.connectPersistent("webhook:orders").connack?.sessionPresent == true)
        let again = SinkClient(next)
        #expect(connectOwn(next, as: again).sessionPresent)
        #expect(again.deliveries().map(\.text) == ["1"])
    }

    @Test("one that an earlier version has stored among the clients' is found again") func oneEarlierVersionStored()
        throws
    {
        let store = TestStore()
        let number = SessionNumber(rawValue: 5)
        var batch = StoreBatch(number: 1)
        for (name, proven) in [("webhook:orders", nil), ("webhook:other", false)] {
            batch.add(
                .session(
                    SessionRecord(
                        name: .client(name),
                        number: SessionNumber(rawValue: name == "webhook:orders" ? 5 : 6),
                        userName: "orders",
                        isUserProven: proven,
                        expiryInterval: .max,
                        expiresAt: .distantFuture,
                        will: nil,
                        willDueAt: nil,
                        takenForRead: 0
                    )
                )
            )
        }
        let options = SubscriptionOptions(qos: .atLeastOnce)
        batch.add(.subscription(SubscriptionRecord(filter: "orders", options: options, identifier: 0), of: number))
        store.commit(batch) { _ in }
        for _ in 0..<2 {
            let test = TestBroker(store: store)
            let webhook = SinkClient(test)
            #expect(connectOwn(test, as: webhook).sessionPresent)
            #expect(try test.connect("webhook:orders").connack?.sessionPresent == false)
            try test.connect("p").publish("orders", "1", qos: .atLeastOnce)
            #expect(webhook.deliveries().map(\.text).last == "1")
            test.storeAll()
        }
    }
}

/// Knows everybody who gives a name, and lets strangers in.
private final class ProvenUsers: Authenticator {
    func authenticate(_ credentials: Credentials) -> Authentication { .accepted(userName: credentials.userName) }
}
