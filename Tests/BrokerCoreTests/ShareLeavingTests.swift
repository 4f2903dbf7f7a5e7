import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What a member of a shared subscription holds when it leaves (MQTT 5.0 §4.8.2).
@Suite struct ShareLeavingTests {
    /// How the session of the member `a` ends.
    enum End: CaseIterable {
        case connectionLost, disconnect, expiryZero, expires, cleanStart, takenOver
    }

    private let test = TestBroker()

    /// A member `a` whose session can end in that way, and that takes so many messages at a time.
    private func leaver(
        _ end: End = .takenOver,
        receiveMaximum: UInt16 = 10,
        qos: QoS = .exactlyOnce,
        on test: TestBroker? = nil
    ) throws -> TestClient {
        let test = test ?? self.test
        let client = try test.connect("a") {
            $0.properties.sessionExpiryInterval = [.connectionLost, .disconnect].contains(end) ? 0 : 60
            $0.properties.receiveMaximum = receiveMaximum
        }
        try client.subscribe("$share/g/t", qos: qos)
        return client
    }

    private func end(_ client: TestClient, _ end: End = .takenOver, on test: TestBroker? = nil) throws {
        let test = test ?? self.test
        switch end {
        case .connectionLost: client.drop()
        case .disconnect: client.disconnect()
        case .expiryZero: client.disconnect(sessionExpiryInterval: 0)
        case .expires:
            client.drop()
            test.advance(seconds: 60)
        case .cleanStart:
            client.drop()
            _ = try test.connect("a")
        case .takenOver: _ = try test.connect("a")
        }
    }

    private func publish(_ texts: String..., qos: QoS = .atLeastOnce, on test: TestBroker? = nil) throws {
        let publisher = try (test ?? self.test).connect("p")
        for text in texts { try publisher.publish("t", text, qos: qos) }
    }

    // MARK: Sessions that end

    @Test("what a member has not acknowledged at QoS 1 goes to another when its session ends", arguments: End.allCases)
    func sessionEnds(_ way: End) throws {
        let leaver = try leaver(way)
        try publish("1", "2", "3", "4")
        let sent = try leaver.takePublishes()
        #expect(sent.map(\.text) == ["1", "2", "3", "4"])
        try leaver.acknowledge(sent[1])
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        try end(leaver, way)
        let passedOn = try heir.messages()
        #expect(passedOn.map(\.text) == ["1", "3", "4"])
        // For this client they are new.
        #expect(passedOn.allSatisfy { !$0.dup && $0.qos == .atLeastOnce })
    }

    @Test("as long as the session may go on, it keeps what it has")
    func sessionGoesOn() throws {
        let leaver = try leaver()
        try publish("1", qos: .atLeastOnce)
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        leaver.drop()
        #expect(try heir.messages().isEmpty)
        #expect(try test.connectPersistent("a").messages().map(\.dup) == [true])
    }

    @Test(
        "[MQTT-4.8.2-5] a QoS 2 message that was sent goes to nobody else, one that waits does",
        arguments: End.allCases
    )
    func exactlyOnce(_ way: End) throws {
        let leaver = try leaver(way, receiveMaximum: 2)
        try publish("sent", "released", "waits", qos: .exactlyOnce)
        let sent = try leaver.takePublishes()
        #expect(sent.map(\.text) == ["sent", "released"])
        leaver.send(.pubrec(Acknowledgement(packetID: try #require(sent[1].packetID))))
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .exactlyOnce)
        try end(leaver, way)
        #expect(try heir.messages().map(\.text) == ["waits"])
    }

    @Test("[MQTT-4.8.2-6] a refused message goes to nobody else when the session ends, either")
    func refused() throws {
        let leaver = try leaver(receiveMaximum: 1)
        try publish("refused", "held")
        let id = try #require(try leaver.takePublish()?.packetID)
        leaver.send(.puback(Acknowledgement(packetID: id, reasonCode: .quotaExceeded)))
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .exactlyOnce)
        try end(leaver)
        #expect(try heir.messages().map(\.text) == ["held"])
    }

    @Test("in flight and waiting messages come in order, after what the other member has", arguments: [1, 2, 100])
    func order(_ receiveMaximum: UInt16) throws {
        let leaver = try leaver(receiveMaximum: 2)
        try publish("1", "2", "3")
        let heir = try test.connect("b") { $0.properties.receiveMaximum = receiveMaximum }
        try heir.subscribe("$share/g/t", "own", qos: .atLeastOnce)
        // They wait for no room: the share gives what it can to the member that has some.
        try test.connect("p").publish("own", "0", qos: .atLeastOnce)
        try end(leaver)
        try publish("4")
        #expect(try heir.texts() == ["0", "1", "2", "3", "4"])
    }

    @Test("several members share what is left, first those that have room, then those that are connected")
    func turns() throws {
        let leaver = try leaver(receiveMaximum: 1)
        try publish("1", "2", "3", "4", "5")
        let slow = try test.connect("slow") { $0.properties.receiveMaximum = 1 }
        let fast = try test.connect("fast") { $0.properties.receiveMaximum = 3 }
        for client in [slow, fast] { try client.subscribe("$share/g/t", qos: .atLeastOnce) }
        let away = try test.connectPersistent("away")
        try away.subscribe("$share/g/t", qos: .atLeastOnce)
        away.drop()
        try end(leaver)
        #expect(try slow.takePublishes().count == 1)
        #expect(try fast.takePublishes().count == 3)
        #expect(try test.connectPersistent("away").messages().isEmpty)
    }

    @Test("members that are away get it into their queues, where nobody is connected")
    func away() throws {
        let leaver = try leaver()
        try publish("1", "2", "3", "4")
        for (name, qos) in [("b", QoS.atLeastOnce), ("c", .atMostOnce), ("d", .exactlyOnce)] {
            let member = try test.connectPersistent(name)
            try member.subscribe("$share/g/t", qos: qos)
            member.drop()
        }
        try end(leaver)
        let got = try ["b", "c", "d"].map { try test.connectPersistent($0).texts() }
        #expect(got.map(\.count) == [2, 0, 2])
        #expect(got.allSatisfy { $0 == $0.sorted() })
        #expect(Set(got.joined()) == ["1", "2", "3", "4"])
    }

    @Test("only members of the same share get it")
    func otherShares() throws {
        let leaver = try leaver()
        try leaver.subscribe("own", qos: .atLeastOnce)
        let others = try ["t", "own", "$share/h/t", "$share/g/+", "$share/g/#"].map { filter in
            let client = try test.connect(filter)
            try client.subscribe(filter, qos: .atLeastOnce)
            return client
        }
        try publish("1")
        try test.connect("p").publish("own", "2", qos: .atLeastOnce)
        for client in others { _ = try client.messages() }
        try end(leaver)
        #expect(try others.allSatisfy { try $0.messages().isEmpty })
    }

    // MARK: Fresh deliveries

    @Test("[MQTT-4.8.2-3] the other member gets it as its own subscription says", arguments: QoS.allCases)
    func ownSubscription(_ qos: QoS) throws {
        let leaver = try leaver(receiveMaximum: 1)
        try leaver.subscribe("$share/g/t", qos: .atLeastOnce, identifier: 1)
        let publisher = try test.connect("p")
        for text in ["1", "2"] { try publisher.publish("t", text, qos: .exactlyOnce, retain: true) }
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: qos, identifier: 2) { $0.retainAsPublished = true }
        try end(leaver)
        let messages = try heir.messages()
        #expect(messages.map(\.text) == ["1", "2"])
        #expect(messages.allSatisfy { $0.qos == qos && $0.retain && $0.properties.subscriptionIdentifiers == [2] })
    }

    @Test("expired messages go to nobody, others with what is left of their interval")
    func expiry() throws {
        let leaver = try leaver(.connectionLost, receiveMaximum: 1)
        let publisher = try test.connect("p")
        for seconds in [100, 5, 100, 5] as [UInt32] {
            try publisher.publish("t", qos: .atLeastOnce) { $0.properties.messageExpiryInterval = seconds }
        }
        test.advance(seconds: 10)
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        let dropped = test.broker.statistics.dropped
        try end(leaver, .connectionLost)
        #expect(try heir.messages().map(\.properties.messageExpiryInterval) == [90, 90])
        #expect(test.broker.statistics.dropped == dropped + 2)
    }

    @Test("[MQTT-3.1.2-24] a message too large for the member that gets it is dropped")
    func tooLarge() throws {
        let leaver = try leaver()
        try publish("1", String(repeating: "2", count: 100), "3")
        let heir = try test.connect("b") { $0.properties.maximumPacketSize = 50 }
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        let dropped = test.broker.statistics.dropped
        try end(leaver)
        #expect(try heir.texts() == ["1", "3"])
        #expect(test.broker.statistics.dropped == dropped + 1)
    }

    @Test("no more is queued for a member than its queue takes")
    func boundedQueue() throws {
        let test = TestBroker(queue: { $0.messages = 2 })
        let leaver = try leaver(on: test)
        try publish("1", "2", "3", "4", on: test)
        let heir = try test.connectPersistent("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        heir.drop()
        try end(leaver, on: test)
        #expect(try test.connectPersistent("b").texts() == ["3", "4"])
    }

    @Test("a member that may not read a topic gets no message of it")
    func permission() throws {
        let test = TestBroker(authorizer: Readers(["a", "c"]))
        let leaver = try leaver(on: test)
        try publish("1", "2", on: test)
        let members = try ["b", "c", "d"].map { name in
            let client = try test.connect(name)
            try client.subscribe("$share/g/t", qos: .atLeastOnce)
            return client
        }
        try end(leaver, on: test)
        #expect(try members.map { try $0.texts() } == [[], ["1", "2"], []])
        try members[1].unsubscribe("$share/g/t")
        #expect(try members.allSatisfy { try $0.messages().isEmpty })
    }

    // MARK: UNSUBSCRIBE

    @Test("[MQTT-3.10.4-3] after UNSUBSCRIBE the member completes what it was sent; what waits goes to others")
    func unsubscribe() throws {
        let leaver = try leaver(receiveMaximum: 2)
        try publish("1", "2", "3", qos: .exactlyOnce)
        try publish("4")
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .exactlyOnce)
        try leaver.unsubscribe("$share/g/t")
        #expect(try heir.texts() == ["3", "4"])
        #expect(try leaver.texts() == ["1", "2"])
    }

    @Test("after UNSUBSCRIBE the last member keeps what waits for it, as long as its session lasts")
    func lastMember() throws {
        let leaver = try leaver(receiveMaximum: 1)
        try publish("1", "2", "3")
        try leaver.unsubscribe("$share/g/t")
        #expect(try leaver.takePublishes().map(\.text) == ["1"])
        leaver.send(.puback(Acknowledgement(packetID: 1)))
        #expect(try leaver.takePublishes().map(\.text) == ["2"])
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .exactlyOnce)
        try end(leaver)
        #expect(try heir.texts() == ["2", "3"])
    }

    @Test("UNSUBSCRIBE and DISCONNECT with messages unacknowledged lose none of QoS 1")
    func unsubscribeAndDisconnect() throws {
        let leaver = try leaver(.disconnect)
        try publish("1", "2")
        let heir = try test.connect("b")
        try heir.subscribe("$share/g/t", qos: .exactlyOnce)
        try leaver.unsubscribe("$share/g/t")
        #expect(try heir.texts().isEmpty)
        leaver.disconnect()
        #expect(try heir.texts() == ["1", "2"])
    }

    @Test("UNSUBSCRIBE from one share moves nothing of another, nor of a plain subscription")
    func unsubscribeOne() throws {
        let leaver = try leaver(receiveMaximum: 1)
        try leaver.subscribe("t", "$share/h/t", qos: .atLeastOnce)
        try publish("1", "2")
        let heirs = try ["$share/g/t", "$share/h/t"].map { filter in
            let client = try test.connect(filter)
            try client.subscribe(filter, qos: .exactlyOnce)
            return client
        }
        try leaver.unsubscribe("$share/h/t", "t")
        let passedOn = try heirs[1].texts()
        #expect(passedOn == ["1", "2"])
        #expect(try heirs[0].texts().isEmpty)
        #expect(try leaver.texts() == ["1", "1", "2", "2"])
        // The number of the share that was left may be another's now.
        try leaver.subscribe("$share/k/t", qos: .atLeastOnce)
        try publish("3", "4")
        try leaver.unsubscribe("$share/k/t")
        #expect(try heirs.allSatisfy { try $0.texts().count <= 2 })
    }

    // MARK: The broker's own end

    @Test("a session that ends after a restart of the broker passes on what it held before")
    func restart() throws {
        let leaver = try leaver(receiveMaximum: 1)
        let other = try test.connectPersistent("b")
        try publish("1", "2")
        try leaver.unsubscribe("$share/g/t")
        try other.subscribe("$share/g/t", qos: .atLeastOnce)
        let again = test.restarted()
        let heir = try again.connectPersistent("b")
        again.advance(seconds: 60)
        #expect(try heir.texts() == ["1", "2"])
    }

    @Test("what has gone to another member does not come back with a restart")
    func restartAfterLeaving() throws {
        let leaver = try leaver(receiveMaximum: 1)
        try publish("1", "2", "3")
        let heir = try test.connectPersistent("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        try leaver.unsubscribe("$share/g/t")
        let again = test.restarted()
        #expect(try again.connectPersistent("a").texts() == ["1"])
        #expect(try again.connectPersistent("b").texts() == ["2", "3"])
    }

    @Test("at shutdown messages go to sessions that outlive it, and to no others")
    func shutdown() throws {
        let leaver = try leaver(.connectionLost)
        try publish("1", "2")
        let other = try test.connect("b")
        let heir = try test.connectPersistent("c")
        for client in [other, heir] { try client.subscribe("$share/g/t", qos: .atLeastOnce) }
        test.broker.shutdown()
        #expect(leaver.isClosed)
        #expect(try other.texts().isEmpty)
        #expect(try Set(test.restarted().connectPersistent("c").texts()) == ["1", "2"])
    }
}

/// Lets so many clients read.
private final class Readers: Authorizer {
    private let names: Set<String>

    init(_ names: Set<String>) { self.names = names }

    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { true }
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { true }
    func mayReceive(_ topic: String, client: ClientIdentity) -> Bool { names.contains(client.clientID) }
}
