import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite("What a client may not read it does not get, whatever it subscribes to") struct PermissionTests {
    private let secrets = Secrets()

    @Test(
        "messages are filtered for each subscriber, hot topics and cold ones",
        arguments: ["#", "a/+", "+/secret", "a/secret"]
    )
    func messagesFilteredEachSubscriber(filter: String) throws {
        let test = TestBroker(authorizer: secrets)
        let hidden = try test.connect("hidden")
        let trusted = try test.connect("trusted")
        try hidden.subscribe(filter, "open")
        try trusted.subscribe(filter)
        // The third time the route is remembered.
        for _ in 0..<4 { try trusted.publish("a/secret", "s") }
        try trusted.publish("open", "o")
        #expect(try hidden.texts() == ["o"])
        #expect(try trusted.texts().prefix(4) == ["s", "s", "s", "s"])
    }

    @Test("retained messages are filtered, too") func retainedMessagesFilteredToo() throws {
        let test = TestBroker(authorizer: secrets)
        let trusted = try test.connect("trusted")
        try trusted.publish("a/secret", "s", retain: true)
        try trusted.publish("a/open", "o", retain: true)
        let hidden = try test.connect("hidden")
        try hidden.subscribe("a/#")
        #expect(try hidden.texts() == ["o"])
    }

    @Test("queues of those who are away are filtered, too") func queuesThoseAwayFiltered() throws {
        let test = TestBroker(authorizer: secrets)
        let hidden = try test.connectPersistent("hidden")
        try hidden.subscribe("#", qos: .atLeastOnce)
        hidden.drop()
        let trusted = try test.connect("trusted")
        try trusted.publish("a/secret", "s", qos: .atLeastOnce)
        try trusted.publish("a/open", "o", qos: .atLeastOnce)
        #expect(try test.connectPersistent("hidden").texts() == ["o"])
    }

    @Test("a shared subscription gives a message only to those who may read it") func sharedSubscriptionGivesMessage()
        throws
    {
        let test = TestBroker(authorizer: secrets)
        let clients = try ["hidden", "trusted", "hidden2"].map { try test.connect($0) }
        for client in clients { try client.subscribe("$share/g/#") }
        for number in 0..<6 { try clients[1].publish("a/secret", "\(number)") }
        #expect(try clients[1].texts().count == 6)
        #expect(try clients[0].texts().isEmpty)
        #expect(try clients[2].texts().isEmpty)
    }

    @Test("permissions that change hold for the next message") func permissionsChangeHoldNext() throws {
        let test = TestBroker(authorizer: secrets)
        let client = try test.connect("hidden")
        let trusted = try test.connect("trusted")
        try client.subscribe("#")
        for _ in 0..<3 { try trusted.publish("a/secret", "before") }
        secrets.isOpen = true
        test.broker.permissionsChanged()
        try trusted.publish("a/secret", "after")
        #expect(try client.texts() == ["after"])
    }

    @Test("another user does not get the session of the one before, nor what is queued in it") func anotherUserDoesNot()
        throws
    {
        let test = TestBroker(authorizer: secrets)
        func connect(as userName: String) throws -> TestClient {
            try test.connectPersistent("c") { $0.userName = userName }
        }
        let trusted = try test.connect("trusted")
        try connect(as: "root").subscribe("#", qos: .atLeastOnce)
        let again = try connect(as: "root")
        #expect(again.connack?.sessionPresent == true)
        again.disconnect()
        try trusted.publish("a/secret", "s", qos: .atLeastOnce)
        let other = try connect(as: "guest")
        #expect(other.connack?.sessionPresent == false)
        try other.subscribe("#")
        try trusted.publish("a/secret", "s")
        try trusted.publish("a/open", "o")
        #expect(try other.texts() == ["o"])
    }

    @Test("clients that would not be let in any more are disconnected, others stay") func clientsWouldNotLet() throws {
        let test = TestBroker(authorizer: secrets)
        let clients = try ["alice", "bob"].map { name in try test.connect(name) { $0.userName = name } }
        let anonymous = try test.connect("c")
        test.broker.endConnections(reason: .notAuthorized) { connection, userName in
            connection.transportProtocol == .mqtt && userName == "bob"
        }
        #expect(try clients[0].ping())
        #expect(try clients[1].wasEnded(.notAuthorized))
        #expect(try anonymous.ping())
    }
}

/// Shows topics that end in `secret` to the client `trusted` and the user `root` only.
private final class Secrets: Authorizer {
    var isOpen = false

    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { true }
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { true }

    func mayReceive(_ topic: String, client: ClientIdentity) -> Bool {
        isOpen || !topic.hasSuffix("secret") || client.clientID == "trusted" || client.userName == "root"
    }
}
