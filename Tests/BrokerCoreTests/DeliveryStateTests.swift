import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

/// What holds for a message at QoS 1 and 2 between its PUBLISH and its last acknowledgement, either way.
@Suite struct DeliveryStateTests {
    private let test = TestBroker()

    private func subscriber(_ version: ProtocolVersion = .v5, _ receiveMaximum: UInt16? = nil) throws -> TestClient {
        let client = try test.connectPersistent("s", version) { $0.properties.receiveMaximum = receiveMaximum }
        try client.subscribe("t", qos: .exactlyOnce)
        return client
    }

    // MARK: Sent by the broker

    @Test(
        "[MQTT-4.3.2-2] sends a QoS 1 message with an identifier and without DUP",
        arguments: ProtocolVersion.allCases
    )
    func firstSent(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        try test.connect("p", version).sendPublish("t", "x", qos: .atLeastOnce, dup: true)
        let message = try #require(try client.takePublish())
        #expect(message.qos == .atLeastOnce)
        #expect(!message.dup)
        #expect(try #require(message.packetID) != 0)
    }

    @Test("[MQTT-4.3.3-7] sends a message again that expired after it was sent", arguments: ProtocolVersion.allCases)
    func sentDoesNotExpire(_ version: ProtocolVersion) throws {
        let first = try subscriber(version)
        try test.connect("p").publish("t", "x", qos: .exactlyOnce) { $0.properties.messageExpiryInterval = 5 }
        #expect(try first.takePublish()?.text == "x")
        first.drop()
        test.advance(seconds: 10)
        let again = try test.connectPersistent("s", version)
        let message = try #require(try again.takePublish())
        #expect(message.text == "x")
        #expect(message.dup)
        try again.acknowledge(message)
    }

    @Test(
        "[MQTT-4.3.3-13] goes on acknowledging messages that have expired, either way",
        arguments: ProtocolVersion.allCases
    )
    func acknowledgesExpired(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        let publisher = try test.connect("p")
        let id = try #require(
            try publisher.sendPublish("t", "x", qos: .exactlyOnce) { $0.properties.messageExpiryInterval = 5 }
        )
        #expect(try publisher.packets() == [.pubrec(Acknowledgement(packetID: id))])
        let message = try #require(try client.takePublish())
        test.advance(seconds: 10)
        publisher.send(.pubrel(Acknowledgement(packetID: id)))
        #expect(try publisher.packets() == [.pubcomp(Acknowledgement(packetID: id))])
        // Throws when no PUBREL answers PUBREC.
        try client.acknowledge(message)
    }

    @Test("[MQTT-4.4.0-2] a PUBACK or PUBREC with an error acknowledges: nothing is sent again")
    func errorAcknowledges() throws {
        let first = try subscriber()
        let publisher = try test.connect("p")
        try publisher.publish("t", "1", qos: .atLeastOnce)
        try publisher.publish("t", "2", qos: .exactlyOnce)
        let ids = try first.takePublishes().compactMap(\.packetID)
        #expect(ids.count == 2)
        first.send(.puback(Acknowledgement(packetID: ids[0], reasonCode: .quotaExceeded)))
        first.send(.pubrec(Acknowledgement(packetID: ids[1], reasonCode: .unspecifiedError)))
        #expect(try first.packets().isEmpty)
        first.drop()
        #expect(try test.connectPersistent("s").takePublishes().isEmpty)
    }

    @Test("[MQTT-3.10.4-3] completes after UNSUBSCRIBE what it has begun to send", arguments: ProtocolVersion.allCases)
    func completesAfterUnsubscribe(_ version: ProtocolVersion) throws {
        let first = try subscriber(version)
        let publisher = try test.connect("p")
        try publisher.publish("t", "1", qos: .atLeastOnce)
        try publisher.publish("t", "2", qos: .exactlyOnce)
        try publisher.publish("t", "3", qos: .exactlyOnce)
        let sent = try first.takePublishes()
        let last = try #require(sent.last?.packetID)
        first.send(.pubrec(Acknowledgement(packetID: last)))
        try first.unsubscribe("t")
        try publisher.publish("t", "4", qos: .exactlyOnce)
        first.drop()
        let again = test.open(version)
        again.send(.connect(Connect(version: version, cleanStart: false, clientID: "s")))
        #expect(try again.take { if case .pubrel(let ack) = $0 { ack.packetID } else { nil } } == last)
        again.send(.pubcomp(Acknowledgement(packetID: last)))
        #expect(try again.texts() == ["1", "2"])
    }

    @Test("[MQTT-3.3.4-10] [MQTT-4.9.0-3] answers everything while the client's Receive Maximum is used up")
    func answersWithoutQuota() throws {
        let client = try subscriber(.v5, 1)
        let publisher = try test.connect("p")
        for text in ["1", "2"] { try publisher.publish("t", text, qos: .atLeastOnce) }
        #expect(try client.takePublishes().map(\.text) == ["1"])
        #expect(try client.ping())
        #expect(try client.subscribe("other") == [.grantedQoS0])
        #expect(try client.unsubscribe("other") == [.success])
        for qos in QoS.allCases.dropFirst() {
            #expect(try client.publish("nobody", qos: qos) == .noMatchingSubscribers)
        }
        #expect(try client.takePublishes().isEmpty)
    }

    // MARK: Sent to the broker

    @Test(
        "[MQTT-4.3.2-5] takes the identifier for a new message after PUBACK, whatever DUP says",
        arguments: ProtocolVersion.allCases
    )
    func identifierAgain(_ version: ProtocolVersion) throws {
        let watcher = try subscriber()
        let client = try test.connect("a", version)
        for (text, dup) in [("1", false), ("2", true), ("3", false)] {
            try client.sendPublish("t", text, qos: .atLeastOnce, dup: dup, packetID: 7)
            #expect(try client.packets() == [.puback(Acknowledgement(packetID: 7))])
        }
        #expect(try watcher.texts() == ["1", "2", "3"])
    }

    @Test("[MQTT-4.3.3-9] takes the identifier for a new message after PUBREC with an error")
    func identifierAfterError() throws {
        let watcher = try test.connect("w")
        try watcher.subscribe("t")
        let client = try test.connect("a")
        try client.sendPublish("$SYS/t", "refused", qos: .exactlyOnce, packetID: 7)
        #expect(try client.packets() == [.pubrec(Acknowledgement(packetID: 7, reasonCode: .notAuthorized))])
        try client.sendPublish("t", "new", qos: .exactlyOnce, packetID: 7)
        #expect(try client.packets() == [.pubrec(Acknowledgement(packetID: 7))])
        #expect(try watcher.texts() == ["new"])
    }

    // [MQTT-4.6.0-2 of 3.1.1] [MQTT-4.6.0-3 of 3.1.1] [MQTT-4.6.0-4 of 3.1.1]
    @Test("acknowledges in the order of what it acknowledges", arguments: ProtocolVersion.allCases)
    func order(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        let ids: [PacketID] = [9, 3, 7]
        for id in ids { try client.sendPublish("x", qos: .atLeastOnce, packetID: id) }
        for id in ids { try client.sendPublish("x", qos: .exactlyOnce, packetID: id) }
        let answers = try client.packets()
        #expect(answers.map(\.type) == [.puback, .puback, .puback, .pubrec, .pubrec, .pubrec])
        #expect(answers.compactMap(\.acknowledged) == ids + ids)
        let publisher = try test.connect("p")
        for _ in ids { try publisher.publish("t", qos: .exactlyOnce) }
        let sent = try client.takePublishes().compactMap(\.packetID)
        let shuffled = [sent[1], sent[2], sent[0]]
        for id in shuffled { client.send(.pubrec(Acknowledgement(packetID: id))) }
        #expect(try client.packets() == shuffled.map { .pubrel(Acknowledgement(packetID: $0)) })
    }
}

extension Packet {
    /// The Packet Identifier of a PUBACK or PUBREC.
    fileprivate var acknowledged: PacketID? {
        switch self {
        case .puback(let ack), .pubrec(let ack): ack.packetID
        default: nil
        }
    }
}
