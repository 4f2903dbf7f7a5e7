import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite("Rights that are withdrawn hold for what waits") struct WithdrawnRightTests {
    private let rights = Readers()

    /// Everybody but `publisher` may not read `b` any more.
    private func withdraw(_ test: TestBroker) {
        rights.mayReadAll = false
        test.broker.permissionsChanged()
        test.flush()
    }

    private func publish(_ test: TestBroker, qos: QoS = .atLeastOnce) throws {
        let publisher = try test.connect("publisher")
        for topic in ["a", "b", "c"] { try publisher.publish(topic, topic, qos: qos) }
    }

    @Test("for the queue of a client that is away", arguments: [QoS.atLeastOnce, .exactlyOnce])
    func queueClientAway(qos: QoS) throws {
        let test = TestBroker(authorizer: rights)
        let away = try test.connectPersistent("away")
        try away.subscribe("#", qos: qos)
        away.drop()
        try publish(test, qos: qos)
        withdraw(test)
        #expect(try test.connectPersistent("away").texts() == ["a", "c"])
        #expect(test.broker.pendingMessages(of: .client("away")) <= 2)
    }

    @Test("for what the store alone has, and after a restart") func storeAloneAfterRestart() throws {
        let first = TestBroker(authorizer: rights)
        let away = try first.connectPersistent("away")
        try away.subscribe("#", qos: .atLeastOnce)
        away.drop()
        try publish(first)
        first.storeAll()
        rights.mayReadAll = false
        let test = TestBroker(authorizer: rights, store: first.store, time: first.broker.now)
        let again = try test.connectPersistent("away")
        test.flush()
        #expect(try again.texts() == ["a", "c"])
    }

    @Test("for what was sent and is to be sent again") func sentSentAgain() throws {
        let test = TestBroker(authorizer: rights)
        let client = try test.connectPersistent("away")
        try client.subscribe("#", qos: .atLeastOnce)
        try publish(test)
        #expect(try client.takePublishes().map(\.text) == ["a", "b", "c"])
        client.drop()
        withdraw(test)
        #expect(try test.connectPersistent("away").texts() == ["a", "c"])
    }

    @Test("for the queue of a client that takes one message at a time") func queueClientTakesOne() throws {
        let test = TestBroker(authorizer: rights)
        let client = try test.connect("slow") { $0.properties.receiveMaximum = 1 }
        try client.subscribe("#", qos: .atLeastOnce)
        try publish(test)
        withdraw(test)
        #expect(try client.texts() == ["a", "c"])
    }

    @Test("what comes after a right was given is not asked of again and again") func comesAfterRightGiven() throws {
        let test = TestBroker(authorizer: rights)
        let away = try test.connectPersistent("away")
        try away.subscribe("#", qos: .atLeastOnce)
        withdraw(test)
        away.drop()
        try publish(test)
        _ = try test.connectPersistent("away").texts()
        away.drop()
        try publish(test)
        let asked = rights.questions
        #expect(try test.connectPersistent("away").texts() == ["a", "c"])
        #expect(rights.questions == asked)
    }

    @Test("a gateway that keeps messages is told, or loses its connection") func gatewayKeepsMessagesTold() throws {
        let test = TestBroker(authorizer: rights)
        let gateway = SinkClient(test)
        gateway.connect(ConnectRequest(clientID: "g", cleanStart: false, sessionExpiryInterval: 100))
        gateway.subscribe("#", qos: .atLeastOnce)
        let other = SinkClient(test)
        other.connect(ConnectRequest(clientID: "o"))
        other.subscribe("a", qos: .atLeastOnce)
        try publish(test)
        withdraw(test)
        #expect(gateway.closed == [.notAuthorized])
        #expect(other.closed.isEmpty)
        let again = SinkClient(test)
        again.connect(ConnectRequest(clientID: "g", cleanStart: false, sessionExpiryInterval: 100))
        #expect(again.deliveries().map(\.text) == ["a", "c"])
    }

    @Test("for messages at QoS 0 that wait for a slow gateway") func messagesQoS0Wait() throws {
        let test = TestBroker(authorizer: rights)
        let gateway = SinkClient(test, capacity: 1)
        gateway.connect(ConnectRequest(clientID: "g"))
        gateway.subscribe("#")
        let publisher = try test.connect("publisher")
        for topic in ["a", "b"] { try publisher.publish(topic, topic) }
        withdraw(test)
        #expect(gateway.deliveries().map(\.text) == ["a"])
        gateway.consumed(1)
        #expect(gateway.deliveries().isEmpty)
    }

    @Test("for a will that is still to come") func willStillCome() throws {
        let test = TestBroker(authorizer: rights)
        let watcher = try test.connect("publisher")
        try watcher.subscribe("#")
        let client = try test.connectPersistent("away") {
            $0.will = Will(topic: try! TopicName("w"), payload: ByteBuffer(string: "gone"), delayInterval: 10)
        }
        client.drop()
        rights.mayPublishAll = false
        test.broker.permissionsChanged()
        test.advance(seconds: 11)
        #expect(try watcher.texts().isEmpty)
    }
}

private final class Readers: Authorizer {
    var mayReadAll = true
    var mayPublishAll = true
    private(set) var questions = 0

    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { mayPublishAll }
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { true }

    func mayReceive(_ topic: String, client: ClientIdentity) -> Bool {
        questions += 1
        return mayReadAll || topic != "b" || client.clientID == "publisher"
    }
}
