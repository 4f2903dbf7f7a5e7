import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What answers wait for, and what happens when the store is slow or full.
@Suite struct DurabilityTests {
    let test = TestBroker()

    /// A session whose client is away.
    func away(_ clientID: String = "s", _ filter: String = "t/#", qos: QoS = .exactlyOnce) throws {
        let client = try test.connectPersistent(clientID)
        try client.subscribe(filter, qos: qos)
        client.drop()
    }

    func types(_ client: TestClient) throws -> [PacketType] { try client.packets().map(\.type) }

    func release() {
        test.store.release()
        test.flush()
    }

    // MARK: Waiting

    @Test("PUBACK and PUBREC wait until the message is written, in order")
    func publishWaits() throws {
        try away()
        let client = try test.connect("p")
        test.store.hold()
        try client.sendPublish("t/1", "1", qos: .atLeastOnce, packetID: 1)
        try client.sendPublish("t/2", "2", qos: .exactlyOnce, packetID: 2)
        try client.sendPublish("elsewhere", "3", qos: .atLeastOnce, packetID: 3)
        #expect(try types(client).isEmpty)
        release()
        #expect(try types(client) == [.puback, .pubrec, .puback])
    }

    @Test("PUBACK waits until the retained message is written or removed, though nobody is subscribed")
    func retainedWaits() throws {
        let client = try test.connect("p")
        for (payload, id) in [("x", 1), ("", 2)] as [(String, PacketID)] {
            test.store.hold()
            try client.sendPublish("t", payload, qos: .atLeastOnce, retain: true, packetID: id)
            #expect(try types(client).isEmpty)
            release()
            #expect(try types(client) == [.puback])
        }
    }

    @Test("each waits for its own batch, whoever waits for a later one already")
    func waitersOutOfOrder() throws {
        try away()
        let clients = ["p", "q"].map { name in
            let client = SinkClient(test)
            client.connect(ConnectRequest(clientID: name))
            return client
        }
        test.store.hold()
        for client in clients { try client.publish("t/1", "x", qos: .atLeastOnce) }
        var written: [String] = []
        for (client, name) in zip(clients, ["p", "q"]).reversed() {
            test.broker.whenStored(client.connection) { written.append("\(name) \($0)") }
        }
        test.store.release()
        test.store.hold()
        test.flush()
        #expect(written == ["p true"])
        test.store.fail(StoreFailure("no"))
        release()
        #expect(written == ["p true", "q false"])
    }

    @Test("what depends on nothing does not wait")
    func nothingWaits() throws {
        try away()
        let subscriber = try test.connect("q")
        try subscriber.subscribe("t/#", qos: .atLeastOnce)
        let client = try test.connect("p")
        test.store.hold()
        #expect(try client.publish("elsewhere", "1", qos: .atLeastOnce) == .noMatchingSubscribers)
        try client.sendPublish("t/2", "2", qos: .atLeastOnce, packetID: 9)
        #expect(try subscriber.texts() == ["2"])
        #expect(try client.ping())
        let other = try test.connect("o")
        #expect(try other.publish("elsewhere", "4", qos: .atLeastOnce) == .noMatchingSubscribers)
        release()
    }

    @Test("CONNACK of a new session, SUBACK and UNSUBACK wait, and nothing overtakes them")
    func sessionWaits() throws {
        test.store.hold()
        let client = test.open()
        #expect(try client.connect("s") { $0.properties.sessionExpiryInterval = 100 } == nil)
        #expect(try types(client).isEmpty)
        release()
        #expect(try types(client) == [.connack])
        test.store.hold()
        client.send(
            .subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "t", options: .init(qos: .atLeastOnce))]))
        )
        try test.connect("p").sendPublish("t", "x")
        #expect(try types(client).isEmpty)
        release()
        #expect(try types(client) == [.suback, .publish])
        test.store.hold()
        client.send(.unsubscribe(Unsubscribe(packetID: 2, filters: ["t"])))
        #expect(try types(client).isEmpty)
        release()
        #expect(try types(client) == [.unsuback])
    }

    @Test("PUBCOMP and PUBREL wait, since the Packet Identifier is used again after them")
    func releaseWaits() throws {
        let client = try test.connectPersistent("s")
        try client.subscribe("t", qos: .exactlyOnce)
        try client.sendPublish("t", "x", qos: .exactlyOnce, packetID: 1)
        let sent = try #require(try client.takePublish()?.packetID)
        _ = try client.packets()
        test.store.hold()
        client.send(.pubrel(Acknowledgement(packetID: 1)))
        client.send(.pubrec(Acknowledgement(packetID: sent)))
        #expect(try types(client).isEmpty)
        release()
        #expect(try types(client) == [.pubcomp, .pubrel])
    }

    @Test("who clears what another has just cleared waits for the same batch")
    func clearedTwice() throws {
        let first = try test.connect("a")
        let second = try test.connect("b")
        try first.publish("r", "x", qos: .atLeastOnce, retain: true)
        test.store.hold()
        try first.sendPublish("r", "", qos: .atLeastOnce, retain: true, packetID: 1)
        try second.sendPublish("r", "", qos: .atLeastOnce, retain: true, packetID: 1)
        #expect(try types(second).isEmpty)
        release()
        #expect(try types(second) == [.puback])
        // And when everything is written, for nothing.
        test.store.hold()
        #expect(try second.publish("r", "", qos: .atLeastOnce, retain: true)?.isError == false)
        release()
    }

    @Test("[MQTT-3.1.2-4] CONNACK waits until a former session is gone for good")
    func discardWaits() throws {
        try away()
        test.store.hold()
        let client = test.open()
        #expect(try client.connect("s") == nil)
        release()
        #expect(try types(client) == [.connack])
        #expect(try test.store.sessions.isEmpty)
    }

    @Test("[MQTT-3.1.2-4] whoever has ended it", arguments: [true, false])
    func discardOfAnother(_ cleanStart: Bool) throws {
        try away()
        test.store.hold()
        let former = test.open()
        #expect(try former.connect("s") == nil)
        former.drop()
        let client = test.open()
        #expect(try client.connect("s") { $0.cleanStart = cleanStart } == nil)
        release()
        let packets = try client.packets()
        #expect(packets.map(\.type) == [.connack])
        // From now on nobody waits for it.
        test.store.hold()
        #expect(try test.connect("s").connack?.sessionPresent == false)
    }

    @Test("a session that ends with its connection waits for nothing, and is not stored")
    func transient() throws {
        test.store.hold()
        let client = try test.connect("a")
        try client.subscribe("t", qos: .exactlyOnce)
        #expect(try client.publish("t", "x", qos: .exactlyOnce) == .success)
        #expect(try client.texts() == ["x"])
        release()
        #expect(test.store.commits == 0)
    }

    @Test("durability none waits for nothing")
    func none() throws {
        let test = TestBroker(durability: .none)
        test.store.hold()
        let client = try test.connectPersistent("s")
        try client.subscribe("t", qos: .exactlyOnce)
        #expect(try client.publish("t", "x", qos: .exactlyOnce) == .success)
        test.store.release()
        test.flush()
        #expect(try test.store.sessions == ["s"])
    }

    // MARK: What is written

    @Test("a message for many sessions is stored once, and is gone when the last has it")
    func once() throws {
        for number in 0..<5 { try away("s\(number)") }
        try test.connect("p").publish("t/1", "x", qos: .atLeastOnce)
        #expect(try test.store.messages == 1)
        for number in 0..<5 {
            #expect(try test.store.messages == 1)
            #expect(try test.connectPersistent("s\(number)").texts() == ["x"])
            test.storeAll()
        }
        #expect(try test.store.messages == 0)
    }

    @Test("a message acknowledged before its batch is written is never written")
    func neverWritten() throws {
        let subscriber = try test.connectPersistent("s")
        try subscriber.subscribe("t", qos: .atLeastOnce)
        let publisher = try test.connect("p")
        test.store.hold()
        try publisher.sendPublish("t", "1", qos: .atLeastOnce, packetID: 1)
        // The first batch is under way; the second gathers.
        try publisher.sendPublish("t", "2", qos: .atLeastOnce, packetID: 2)
        #expect(try subscriber.texts() == ["1", "2"])
        test.store.release()
        test.store.hold()
        test.flush()
        #expect(try test.store.messages == 1)
        release()
        test.storeAll()
        #expect(try test.store.messages == 0)
        #expect(try types(publisher) == [.puback, .puback])
    }

    @Test("a long queue is read back in pages, in order, while more is queued", arguments: [1, 7, 300])
    func pages(_ receiveMaximum: UInt16) throws {
        let test = TestBroker(queue: { $0.messages = 2_000 })
        let subscriber = try test.connectPersistent("s")
        try subscriber.subscribe("t", qos: .exactlyOnce)
        subscriber.drop()
        let publisher = try test.connect("p")
        for number in 0..<1_000 { try publisher.publish("t", "\(number)", qos: .atLeastOnce) }
        let again = try test.connectPersistent("s") { $0.properties.receiveMaximum = receiveMaximum }
        for number in 1_000..<1_200 { try publisher.publish("t", "\(number)", qos: .atLeastOnce) }
        #expect(try again.texts() == (0..<1_200).map { "\($0)" })
        test.storeAll()
        #expect(try test.store.messages == 0)
    }

    @Test(
        "the queue's policy holds for what is in the store alone",
        arguments: [QueueLimits.Policy.dropOldest, .dropNewest]
    )
    func policy(_ whenFull: QueueLimits.Policy) throws {
        let test = TestBroker(queue: {
            $0.messages = 3
            $0.whenFull = whenFull
        })
        let subscriber = try test.connectPersistent("s")
        try subscriber.subscribe("t", qos: .atLeastOnce)
        subscriber.drop()
        let publisher = try test.connect("p")
        for number in 0..<5 { try publisher.publish("t", "\(number)", qos: .atLeastOnce) }
        test.storeAll()
        #expect(try test.store.messages == 3)
        let expected = whenFull == .dropOldest ? ["2", "3", "4"] : ["0", "1", "2"]
        #expect(try test.restarted().connectPersistent("s").texts() == expected)
    }

    @Test("messages that have expired make room, and are removed")
    func expired() throws {
        let test = TestBroker(queue: {
            $0.messages = 2
            $0.whenFull = .dropNewest
        })
        let subscriber = try test.connectPersistent("s")
        try subscriber.subscribe("t", qos: .atLeastOnce)
        subscriber.drop()
        let publisher = try test.connect("p")
        for text in ["old", "older"] {
            try publisher.publish("t", text, qos: .atLeastOnce) { $0.properties.messageExpiryInterval = 1 }
        }
        test.advance(seconds: 2)
        try publisher.publish("t", "new", qos: .atLeastOnce)
        test.storeAll()
        #expect(try test.store.messages == 1)
        #expect(try test.connectPersistent("s").texts() == ["new"])
    }

    @Test("messages that have expired are removed, before and after a restart, though nobody comes for them")
    func expiredAlone() throws {
        try away()
        let publisher = try test.connect("p")
        for (text, interval) in [("1", 1), ("2", 100), ("3", 1)] as [(String, UInt32)] {
            try publisher.publish("t/x", text, qos: .atLeastOnce) { $0.properties.messageExpiryInterval = interval }
        }
        #expect(try test.store.messages == 3)
        test.advance(seconds: 61)
        test.storeAll()
        #expect(try test.store.messages == 1)
        let next = test.restarted()
        next.advance(seconds: 200)
        next.storeAll()
        #expect(try next.store.messages == 0)
        #expect(try next.connectPersistent("s").texts().isEmpty)
    }
}
