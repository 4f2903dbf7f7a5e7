import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

/// Messages sent by the broker.
@Suite struct DeliveryFlowTests {
    private let test = TestBroker()

    /// A client with a session and a subscription at QoS 2.
    private func subscriber(_ version: ProtocolVersion, _ receiveMaximum: UInt16? = nil) throws -> TestClient {
        let client = try test.connectPersistent("s", version) { $0.properties.receiveMaximum = receiveMaximum }
        try client.subscribe("t", qos: .exactlyOnce)
        return client
    }

    private func resume(_ version: ProtocolVersion, _ receiveMaximum: UInt16? = nil) throws -> TestClient {
        try test.connectPersistent("s", version) { $0.properties.receiveMaximum = receiveMaximum }
    }

    private func publish(_ texts: [String], qos: QoS = .atLeastOnce) throws {
        let publisher = try test.connect("p")
        for text in texts { try publisher.publish("t", text, qos: qos) }
    }

    @Test(
        "[MQTT-4.3.3-2] [MQTT-4.3.3-4] sends PUBREL at PUBREC, and frees the identifier at PUBCOMP",
        arguments: ProtocolVersion.allCases
    )
    func qos2(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        try publish(["x"], qos: .exactlyOnce)
        let message = try #require(try client.takePublish())
        let id = try #require(message.packetID)
        #expect(message.qos == .exactlyOnce)
        client.send(.pubrec(Acknowledgement(packetID: id)))
        #expect(try client.packets() == [.pubrel(Acknowledgement(packetID: id))])
        // PUBREC again, since PUBREL may be on its way still.
        client.send(.pubrec(Acknowledgement(packetID: id)))
        #expect(try client.packets() == [.pubrel(Acknowledgement(packetID: id))])
        client.send(.pubcomp(Acknowledgement(packetID: id)))
        client.send(.pubrec(Acknowledgement(packetID: id)))
        let reason: ReasonCode = version == .v5 ? .packetIdentifierNotFound : .success
        #expect(try client.packets() == [.pubrel(Acknowledgement(packetID: id, reasonCode: reason))])
    }

    @Test("MQTT 5.0 §4.3.3 a PUBREC with an error ends the delivery")
    func pubrecError() throws {
        let client = try subscriber(.v5, 1)
        try publish(["x", "y"], qos: .exactlyOnce)
        let id = try #require(try client.takePublish()?.packetID)
        client.send(.pubrec(Acknowledgement(packetID: id, reasonCode: .quotaExceeded)))
        #expect(try client.packets().map(\.type) == [.publish])
    }

    private static let misplaced: [(QoS, before: [PacketType], PacketType)] = [
        (.atLeastOnce, [], .pubrec), (.atLeastOnce, [], .pubcomp), (.exactlyOnce, [], .puback),
        (.exactlyOnce, [], .pubcomp), (.exactlyOnce, [.pubrec], .puback),
    ]

    @Test(
        "[MQTT-4.13.1-1] [MQTT-4.8.0-1 of 3.1.1] ends the connection on an acknowledgement that its message can't have",
        arguments: misplaced,
        ProtocolVersion.allCases
    )
    func misplacedAcknowledgement(
        _ wrong: (qos: QoS, before: [PacketType], type: PacketType),
        _ version: ProtocolVersion
    ) throws {
        let client = try subscriber(version)
        try publish(["x"], qos: wrong.qos)
        let id = try #require(try client.takePublish()?.packetID)
        for type in wrong.before { client.send(acknowledgement(type, id)) }
        client.send(acknowledgement(wrong.type, id))
        #expect(try client.wasEnded(.protocolError))
        // It is not taken for delivered.
        #expect(try resume(version).packets().contains { [.publish, .pubrel].contains($0.type) })
    }

    private func acknowledgement(_ type: PacketType, _ id: PacketID) -> Packet {
        let acknowledgement = Acknowledgement(packetID: id)
        return switch type {
        case .puback: .puback(acknowledgement)
        case .pubrec: .pubrec(acknowledgement)
        default: .pubcomp(acknowledgement)
        }
    }

    @Test("acknowledgements that fit no message are passed over", arguments: ProtocolVersion.allCases)
    func strayAcknowledgements(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        try publish(["x"], qos: .exactlyOnce)
        let id = try #require(try client.takePublish()?.packetID)
        client.send(.puback(Acknowledgement(packetID: 999)))
        client.send(.pubcomp(Acknowledgement(packetID: 65_535)))
        #expect(try client.packets().isEmpty)
        #expect(!client.isClosed)
        // The delivery is where it was.
        client.send(.pubrec(Acknowledgement(packetID: id)))
        #expect(try client.packets() == [.pubrel(Acknowledgement(packetID: id))])
    }

    @Test(
        "[MQTT-4.4.0-1] [MQTT-4.3.2-3] [MQTT-3.3.1-1] sends again what was not acknowledged, in order, with DUP and its identifier",
        arguments: ProtocolVersion.allCases
    )
    func resends(_ version: ProtocolVersion) throws {
        let first = try subscriber(version)
        try publish(["1", "2", "3", "4"])
        let sent = try first.takePublishes()
        #expect(sent.map(\.dup) == [false, false, false, false])
        try first.acknowledge(sent[1])
        first.drop()
        try publish(["5"])
        let again = try resume(version)
        let resent = try again.takePublishes()
        #expect(resent.map(\.text) == ["1", "3", "4", "5"])
        #expect(resent.map(\.dup) == [true, true, true, false])
        #expect(resent.prefix(3).map(\.packetID) == [sent[0].packetID, sent[2].packetID, sent[3].packetID])
    }

    @Test(
        "[MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1] sends PUBREL again, not PUBLISH, for what was received",
        arguments: ProtocolVersion.allCases
    )
    func resendsRelease(_ version: ProtocolVersion) throws {
        let first = try subscriber(version)
        try publish(["1", "2"], qos: .exactlyOnce)
        let sent = try first.takePublishes()
        let (one, two) = (try #require(sent[0].packetID), try #require(sent[1].packetID))
        first.send(.pubrec(Acknowledgement(packetID: one)))
        first.drop()
        let again = try resume(version)
        let packets = try again.packets()
        #expect(packets.map(\.type) == [.pubrel, .publish])
        #expect(packets.first == .pubrel(Acknowledgement(packetID: one)))
        again.send(.pubcomp(Acknowledgement(packetID: one)))
        again.send(.pubrec(Acknowledgement(packetID: two)))
        again.send(.pubcomp(Acknowledgement(packetID: two)))
        #expect(try again.packets() == [.pubrel(Acknowledgement(packetID: two))])
        again.drop()
        #expect(try resume(version).packets().isEmpty)
    }

    @Test("[MQTT-4.4.0-1] sends nothing again while the connection lasts", arguments: ProtocolVersion.allCases)
    func neverResends(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        try publish(["1"])
        _ = try client.packets()
        test.advance(seconds: 3_600)
        #expect(try client.packets().isEmpty)
    }

    @Test("[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2] sends no more than the client's Receive Maximum")
    func receiveMaximum() throws {
        let client = try subscriber(.v5, 3)
        try publish((1...10).map { "\($0)" })
        var open = try client.takePublishes()
        #expect(open.map(\.text) == ["1", "2", "3"])
        // QoS 0 needs no quota [MQTT-3.3.4-8].
        let publisher = try test.connect("q")
        try publisher.publish("t", "zero")
        #expect(try client.takePublishes().map(\.text) == ["zero"])
        for expected in 4...10 {
            try client.acknowledge(open.removeFirst())
            open += try client.takePublishes()
            #expect(open.map(\.text).last == "\(expected)")
            #expect(open.count == 3)
        }
    }

    @Test("MQTT 5.0 §4.9 gets quota back at PUBACK, PUBCOMP and PUBREC with an error, not at PUBREC")
    func quota() throws {
        let client = try subscriber(.v5, 1)
        try publish(["1", "2", "3"], qos: .exactlyOnce)
        let one = try #require(try client.takePublish()?.packetID)
        client.send(.pubrec(Acknowledgement(packetID: one)))
        #expect(try client.takePublishes().isEmpty)
        client.send(.pubcomp(Acknowledgement(packetID: one)))
        let two = try #require(try client.takePublish())
        #expect(two.text == "2")
        // Twice is once.
        client.send(.pubcomp(Acknowledgement(packetID: one)))
        #expect(try client.takePublishes().isEmpty)
    }

    @Test("[MQTT-3.3.4-9] [MQTT-4.9.0-1] keeps to a smaller Receive Maximum when it sends again")
    func smallerReceiveMaximum() throws {
        try subscriber(.v5).drop()
        let first = try resume(.v5)
        try publish((1...6).map { "\($0)" })
        #expect(try first.takePublishes().count == 6)
        first.drop()
        try publish(["7"])
        let again = try resume(.v5, 2)
        var open = try again.takePublishes()
        #expect(open.map(\.text) == ["1", "2"])
        var all = open
        while !open.isEmpty {
            try again.acknowledge(open.removeFirst())
            let more = try again.takePublishes()
            open += more
            all += more
            #expect(open.count <= 2)
        }
        #expect(all.map(\.text) == ["1", "2", "3", "4", "5", "6", "7"])
        #expect(all.map(\.dup) == [true, true, true, true, true, true, false])
    }

    @Test("[MQTT-3.3.4-10] [MQTT-4.9.0-3] sends PUBREL again whatever the quota")
    func releaseNeedsNoQuota() throws {
        let first = try subscriber(.v5)
        try publish(["1", "2", "3", "4"], qos: .exactlyOnce)
        let ids = try first.takePublishes().compactMap(\.packetID)
        for id in ids.prefix(2) { first.send(.pubrec(Acknowledgement(packetID: id))) }
        first.drop()
        let again = try resume(.v5, 1)
        let packets = try again.packets()
        #expect(packets.map(\.type) == [.pubrel, .pubrel, .publish])
        again.send(.pubcomp(Acknowledgement(packetID: ids[0])))
        again.send(.pubcomp(Acknowledgement(packetID: ids[1])))
        #expect(try again.packets().isEmpty)
        again.send(.pubrec(Acknowledgement(packetID: ids[2])))
        again.send(.pubcomp(Acknowledgement(packetID: ids[2])))
        #expect(try again.packets().map(\.type) == [.pubrel, .publish])
    }

    @Test("a message acknowledged before it was sent again is not sent again", arguments: QoS.allCases.dropFirst())
    func earlyAcknowledgement(_ qos: QoS) throws {
        let first = try subscriber(.v5)
        try publish(["1", "2", "3"], qos: qos)
        let sent = try first.takePublishes()
        first.drop()
        let again = try resume(.v5, 1)
        #expect(try again.takePublishes().map(\.text) == ["1"])
        try again.acknowledge(sent[1])
        #expect(try again.takePublishes().isEmpty)
        try again.acknowledge(sent[0])
        #expect(try again.texts() == ["3"])
    }

    @Test("sends again no faster than the network connection takes it", arguments: ProtocolVersion.allCases)
    func resendsAsConnectionTakes(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        let large = String(repeating: "x", count: 100_000)
        let sent = (0..<40).map { "\($0)" + large }
        let publisher = try test.connect("p")
        for text in sent {
            try publisher.publish("t", text, qos: .atLeastOnce)
            _ = try client.takePublishes()
        }
        client.drop()
        let again = test.open(version)
        again.setWritable(false)
        again.send(.connect(Connect(version: version, cleanStart: false, clientID: "s")))
        #expect(again.outputBytes < 500_000)
        again.setWritable(true)
        var all: [String] = []
        while true {
            let more = try again.takePublishes().map(\.text)
            if more.isEmpty { break }
            all += more
            again.setWritable(true)
        }
        #expect(all == sent)
    }

    @Test("keeps the order of new messages behind those sent again", arguments: ProtocolVersion.allCases)
    func newBehindOld(_ version: ProtocolVersion) throws {
        let first = try subscriber(version, version == .v5 ? 2 : nil)
        try publish(["1", "2", "3"])
        _ = try first.packets()
        first.drop()
        let again = try resume(version, version == .v5 ? 1 : nil)
        try publish(["4"])
        #expect(try again.texts() == ["1", "2", "3", "4"])
    }

    @Test(
        "[MQTT-2.2.1-4] uses Packet Identifiers 1 to 65535 and then from 1 again",
        arguments: ProtocolVersion.allCases
    )
    func wrapsAround(_ version: ProtocolVersion) throws {
        let client = try subscriber(version)
        let publisher = try test.connect("p")
        var expected: PacketID = 1
        for _ in 0..<66_000 {
            try publisher.sendPublish("t", "x", qos: .atLeastOnce, packetID: 1)
            let message = try #require(try client.takePublish())
            guard message.packetID == expected else {
                Issue.record("\(message.packetID as PacketID?) is not \(expected)")
                return
            }
            try client.acknowledge(message)
            _ = try publisher.packets()
            expected = expected == .max ? 1 : expected + 1
        }
    }

    @Test(
        "[MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1] gives no identifier twice that is in use, in whatever order",
        arguments: 0..<10 as Range<UInt64>
    )
    func uniqueIdentifiers(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let client = try subscriber(.v5)
        let publisher = try test.connect("p")
        var open: [PacketID: Publish] = [:]
        for number in 0..<2_000 {
            try publisher.publish("t", "\(number)", qos: number % 2 == 0 ? .atLeastOnce : .exactlyOnce)
            for message in try client.takePublishes() {
                let id = try #require(message.packetID)
                #expect(open.updateValue(message, forKey: id) == nil)
            }
            while open.count > generator.number(0...50), let id = open.keys.randomElement(using: &generator) {
                if let done = open.removeValue(forKey: id) { try client.acknowledge(done) }
            }
        }
    }
}
