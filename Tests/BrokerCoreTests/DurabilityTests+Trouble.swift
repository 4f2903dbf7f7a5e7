import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

// A store that can't write, and brokers that end without a farewell.
extension DurabilityTests {
    // MARK: Trouble

    @Test(
        "a store that can't write: what it would have to keep is refused, the rest goes on, and it recovers by itself"
    )
    func full() throws {
        try away()
        let subscriber = try test.connect("q")
        try subscriber.subscribe("#", qos: .atMostOnce)
        let client = try test.connect("p")
        var failures: [String?] = []
        test.broker.host.storeFailed = { failures.append($0?.description) }
        test.store.fail(StoreFailure("No space left on device"))
        try client.sendPublish("t/1", "first", qos: .atLeastOnce, packetID: 100)
        #expect(try types(client).isEmpty)
        let other = try test.connect("o")
        #expect(try other.publish("t/1", "refused", qos: .atLeastOnce) == .quotaExceeded)
        #expect(try other.publish("t/1", "refused", qos: .exactlyOnce) == .quotaExceeded)
        #expect(try other.publish("r", "refused", qos: .atLeastOnce, retain: true) == .quotaExceeded)
        #expect(try other.publish("elsewhere", "goes", qos: .atLeastOnce)?.isError == false)
        try other.sendPublish("t/1", "goes, too")
        let connack = try test.open().connect("new") { $0.properties.sessionExpiryInterval = 100 }
        #expect(connack?.reasonCode == .quotaExceeded)
        #expect(try subscriber.texts() == ["first", "goes", "goes, too"])
        #expect(failures == ["No space left on device"])
        test.store.fail(nil)
        test.advance(seconds: 1)
        #expect(try types(client) == [.puback])
        #expect(failures == ["No space left on device", nil])
        #expect(try other.publish("t/1", "second", qos: .atLeastOnce) == .success)
        #expect(try test.restarted().connectPersistent("s").texts() == ["first", "second"])
    }

    @Test("a QoS 2 PUBLISH that can't be stored is refused at once, and holds up no other answer to its client")
    func refusedAtOnce() throws {
        try away()
        let client = try test.connectPersistent("p")
        test.store.fail(StoreFailure("No space left on device"))
        try test.connect("q").sendPublish("t/1", "notices", qos: .atLeastOnce, packetID: 1)
        #expect(try client.publish("t/1", "refused", qos: .exactlyOnce) == .quotaExceeded)
        #expect(try client.publish("elsewhere", "goes", qos: .atLeastOnce)?.isError == false)
        test.store.fail(nil)
        test.advance(seconds: 1)
        #expect(try client.publish("t/1", "kept", qos: .exactlyOnce) == .success)
    }

    @Test("a SUBSCRIBE that changes nothing writes nothing, and is granted while the store can't write")
    func subscribedAgain() throws {
        try away()
        test.storeAll()
        let commits = test.store.commits
        let client = try test.connectPersistent("s")
        test.storeAll()
        let connecting = test.store.commits - commits
        #expect(try client.subscribe("t/#", qos: .exactlyOnce) == [.grantedQoS2])
        test.storeAll()
        #expect(test.store.commits == commits + connecting)
        test.store.fail(StoreFailure("No space left on device"))
        try test.connect("p").sendPublish("t/1", "x", qos: .atLeastOnce, packetID: 1)
        #expect(try client.texts() == ["x"])
        #expect(try client.subscribe("t/#", qos: .exactlyOnce) == [.grantedQoS2])
        #expect(try client.subscribe("t/#", qos: .atLeastOnce) == [.quotaExceeded])
        #expect(try client.subscribe("u", qos: .exactlyOnce) == [.quotaExceeded])
    }

    @Test("nothing overtakes what can't be read back for a while, in flight or queued", arguments: [true, false])
    func unreadable(_ isInflight: Bool) throws {
        let first = try test.connectPersistent("s")
        try first.subscribe("t", qos: .atLeastOnce)
        if !isInflight { first.drop() }
        try test.connect("p").publish("t", "1", qos: .atLeastOnce)
        let next = test.restarted()
        next.store.failReading(StoreFailure("Input/output error"))
        let client = try next.connectPersistent("s")
        try next.connect("p").publish("t", "2", qos: .atLeastOnce)
        next.advance(seconds: 1)
        client.drop()
        let again = try next.connectPersistent("s")
        #expect(try types(again).isEmpty)
        next.store.failReading(nil)
        next.advance(seconds: 1)
        let messages = try again.messages()
        #expect(messages.map(\.text) == ["1", "2"])
        #expect(messages.map(\.dup) == [isInflight, false])
        #expect(messages.map(\.packetID) == [1, 2])
    }

    @Test("a gateway's client is told 503's reason")
    func fullForGateways() throws {
        try away()
        let gateway = SinkClient(test)
        gateway.connect(ConnectRequest(clientID: "g"))
        test.store.fail(StoreFailure("No space left on device"))
        var stored: [Bool] = []
        let message = Message(topic: try TopicName("t/1"), payload: ByteBuffer(string: "x"), qos: .atLeastOnce)
        #expect(test.broker.publish(message, from: gateway.connection) == .success)
        test.broker.whenStored(gateway.connection) { stored.append($0) }
        test.flush()
        #expect(stored == [false])
        #expect(test.broker.publish(message, from: gateway.connection) == .serverUnavailable)
    }

    // MARK: Crashes

    @Test("a QoS 2 PUBLISH is not sent before its Packet Identifier is written")
    func identifierWaits() throws {
        let client = try test.connectPersistent("s")
        try client.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        test.store.hold()
        try publisher.sendPublish("t", "lost", qos: .exactlyOnce, packetID: 1)
        #expect(try client.takePublish() == nil)
        test.store.crash()
        let next = test.crashed()
        let again = try next.connectPersistent("s")
        try next.connect("p").publish("t", "x", qos: .exactlyOnce)
        #expect(try again.texts() == ["x"])
    }

    @Test("nor is it handed to a gateway, and nothing overtakes it there")
    func deliveryWaits() throws {
        let request = ConnectRequest(clientID: "s", cleanStart: false, sessionExpiryInterval: 60)
        let client = SinkClient(test)
        client.connect(request)
        client.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        test.store.hold()
        try publisher.sendPublish("t", "1", qos: .exactlyOnce, packetID: 1)
        try publisher.sendPublish("t", "2", qos: .atLeastOnce, packetID: 2)
        try publisher.sendPublish("t", "at most once")
        #expect(client.deliveries().isEmpty)
        release()
        #expect(client.deliveries().map(\.text) == ["1", "2", "at most once"])
        test.store.hold()
        try publisher.sendPublish("t", "3", qos: .exactlyOnce, packetID: 3)
        client.disconnect()
        release()
        #expect(client.deliveries().isEmpty)
        let again = SinkClient(test)
        again.connect(request)
        #expect(again.deliveries().map(\.text) == ["1", "2", "3"])
    }

    @Test("[MQTT-4.3.3-4] PUBREC and then a crash: PUBREL, and no PUBLISH")
    func releasedSurvives() throws {
        let client = try test.connectPersistent("s")
        try client.subscribe("t", qos: .exactlyOnce)
        try test.connect("p").publish("t", "x", qos: .exactlyOnce)
        let id = try #require(try client.takePublish()?.packetID)
        client.send(.pubrec(Acknowledgement(packetID: id)))
        #expect(try types(client) == [.pubrel])
        let again = try test.crashed().connectPersistent("s")
        #expect(try types(again) == [.pubrel])
    }
}
