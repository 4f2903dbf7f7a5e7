import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Messages sent to the broker.
@Suite struct PublishFlowTests {
    @Test("[MQTT-3.3.4-1] [MQTT-4.3.1-1] takes QoS 0 without an answer", arguments: ProtocolVersion.allCases)
    func qos0(_ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        try client.publish("t", "x")
        #expect(client.unreadBytes == 0)
    }

    @Test("[MQTT-3.3.4-1] [MQTT-4.3.2-4] answers QoS 1 by PUBACK", arguments: ProtocolVersion.allCases)
    func qos1(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version)
        let nobody: ReasonCode = version == .v5 ? .noMatchingSubscribers : .success
        #expect(try client.publish("t", "x", qos: .atLeastOnce) == nobody)
        try test.connect("s").subscribe("t")
        #expect(try client.publish("t", "x", qos: .atLeastOnce) == .success)
    }

    @Test(
        "[MQTT-3.3.4-1] [MQTT-4.3.3-8] [MQTT-4.3.3-11] answers QoS 2 by PUBREC and PUBCOMP",
        arguments: ProtocolVersion.allCases
    )
    func qos2(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let client = try test.connect("a", version)
        let nobody: ReasonCode = version == .v5 ? .noMatchingSubscribers : .success
        #expect(try client.publish("t", "x", qos: .exactlyOnce) == nobody)
        try test.connect("s").subscribe("t")
        #expect(try client.publish("t", "x", qos: .exactlyOnce) == .success)
    }

    @Test(
        "[MQTT-4.3.3-10] [MQTT-4.3.3-12] delivers a QoS 2 message once, however often it comes before PUBREL",
        arguments: ProtocolVersion.allCases
    )
    func once(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let subscriber = try test.connect("s")
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let client = try test.connect("a", version)
        try client.sendPublish("t", "x", qos: .exactlyOnce, packetID: 5)
        try client.sendPublish("t", "x", qos: .exactlyOnce, dup: true, packetID: 5)
        try client.sendPublish("t", "x", qos: .exactlyOnce, packetID: 5)
        #expect(try client.packets() == Array(repeating: .pubrec(Acknowledgement(packetID: 5)), count: 3))
        #expect(try subscriber.texts() == ["x"])
        client.send(.pubrel(Acknowledgement(packetID: 5)))
        #expect(try client.packets() == [.pubcomp(Acknowledgement(packetID: 5))])
        // Now the identifier stands for a new message.
        try client.sendPublish("t", "y", qos: .exactlyOnce, packetID: 5)
        #expect(try subscriber.texts() == ["y"])
    }

    @Test("[MQTT-4.3.3-10] knows a QoS 2 message again after a reconnect", arguments: ProtocolVersion.allCases)
    func onceAcrossConnections(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let subscriber = try test.connect("s")
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let first = try test.connectPersistent("a", version)
        try first.sendPublish("t", "x", qos: .exactlyOnce, packetID: 5)
        first.drop()
        let again = try test.connectPersistent("a", version)
        try again.sendPublish("t", "x", qos: .exactlyOnce, dup: true, packetID: 5)
        again.send(.pubrel(Acknowledgement(packetID: 5)))
        #expect(try again.packets().map(\.type) == [.pubrec, .pubcomp])
        #expect(try subscriber.texts() == ["x"])
    }

    @Test(
        "MQTT 5.0 §3.7.2.1 answers PUBREL for an unknown identifier by PUBCOMP all the same",
        arguments: ProtocolVersion.allCases
    )
    func unknownPubrel(_ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        client.send(.pubrel(Acknowledgement(packetID: 9)))
        let reason: ReasonCode = version == .v5 ? .packetIdentifierNotFound : .success
        #expect(try client.packets() == [.pubcomp(Acknowledgement(packetID: 9, reasonCode: reason))])
        #expect(!client.isClosed)
    }

    @Test("[MQTT-3.3.4-7] refuses more QoS 2 messages than our Receive Maximum")
    func receiveMaximum() throws {
        let test = TestBroker { $0.receiveMaximum = 3 }
        let client = try test.connect("a")
        for _ in 0..<3 { try client.sendPublish("t", "x", qos: .exactlyOnce) }
        #expect(try client.packets().count == 3)
        // A repetition of one of them is no more.
        try client.sendPublish("t", "x", qos: .exactlyOnce, dup: true, packetID: 2)
        #expect(try client.packets().count == 1)
        try client.sendPublish("t", "x", qos: .exactlyOnce)
        #expect(try client.wasEnded(.receiveMaximumExceeded))
    }

    @Test("[MQTT-3.3.4-7] PUBREL makes room within our Receive Maximum, and QoS 1 takes none of it")
    func receiveMaximumRoom() throws {
        let test = TestBroker { $0.receiveMaximum = 2 }
        let client = try test.connect("a")
        try client.sendPublish("t", "x", qos: .exactlyOnce, packetID: 1)
        for _ in 0..<10 { try client.publish("t", "x", qos: .atLeastOnce) }
        for id in 100..<200 as Range<PacketID> {
            try client.sendPublish("t", "x", qos: .exactlyOnce, packetID: id)
            client.send(.pubrel(Acknowledgement(packetID: id)))
        }
        #expect(!client.isClosed)
    }

    @Test("MQTT 3.1.1 knows no Receive Maximum")
    func noReceiveMaximum() throws {
        let test = TestBroker { $0.receiveMaximum = 2 }
        let client = try test.connect("a", .v3_1_1)
        for _ in 0..<50 { try client.sendPublish("t", "x", qos: .exactlyOnce) }
        #expect(try client.packets().count == 50)
        #expect(!client.isClosed)
    }

    @Test("[MQTT-3.2.2-11] ends the connection on a QoS above Maximum QoS", arguments: ProtocolVersion.allCases)
    func maximumQoS(_ version: ProtocolVersion) throws {
        for (maximum, qos) in [(0, QoS.atLeastOnce), (1, .exactlyOnce), (0, .exactlyOnce)] {
            let client = try TestBroker { $0.maximumQoS = maximum }.connect("a", version)
            try client.sendPublish("t", "x", qos: qos)
            #expect(try client.wasEnded(.qosNotSupported))
        }
    }

    @Test(
        "[MQTT-3.2.2-14] ends the connection on RETAIN where it is not served",
        arguments: ProtocolVersion.allCases,
        QoS.allCases
    )
    func retain(_ version: ProtocolVersion, _ qos: QoS) throws {
        let client = try TestBroker { $0.retainAvailable = false }.connect("a", version)
        try client.sendPublish("t", "x", qos: qos, retain: true)
        #expect(try client.wasEnded(.retainNotSupported))
    }

    // [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
    @Test("forwards the properties of a message unaltered")
    func properties() throws {
        let test = TestBroker()
        let subscriber = try test.connect("s")
        try subscriber.subscribe("t", qos: .exactlyOnce)
        var properties = PublishProperties()
        properties.payloadFormatIndicator = true
        properties.responseTopic = "answer"
        properties.correlationData = .init(bytes: [0, 1, 0xff])
        properties.contentType = "application/json"
        properties.userProperties = [UserProperty("b", "1"), UserProperty("a", "2"), UserProperty("b", "1")]
        let publisher = try test.connect("p")
        for qos in QoS.allCases { try publisher.publish("t", "x", qos: qos) { $0.properties = properties } }
        #expect(try subscriber.messages().map(\.properties) == [properties, properties, properties])
    }

    @Test("MQTT 5.0 §3.3.2.3.2 refuses text that is not UTF-8 where that is checked", arguments: [true, false])
    func payloadFormat(_ isChecked: Bool) throws {
        let test = TestBroker { $0.validatesPayloadFormat = isChecked }
        let subscriber = try test.connect("s")
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        for qos in QoS.allCases {
            let publish = { (bytes: [UInt8], indicator: Bool?) throws -> ReasonCode? in
                try publisher.publish("t", qos: qos) {
                    $0.payload = ByteBuffer(bytes: bytes)
                    $0.properties.payloadFormatIndicator = indicator
                }
            }
            let accepted: ReasonCode? = qos == .atMostOnce ? nil : .success
            let refused: ReasonCode? = qos == .atMostOnce ? nil : .payloadFormatInvalid
            #expect(try publish([0xc3, 0xa9], true) == accepted)
            #expect(try publish([0xc3, 0x28], true) == (isChecked ? refused : accepted))
            #expect(try publish([0xc3, 0x28], false) == accepted)
            #expect(try publish([0xc3, 0x28], nil) == accepted)
        }
        #expect(try subscriber.messages().count == (isChecked ? 9 : 12))
        #expect(!publisher.isClosed)
    }

    @Test("MQTT 5.0 §3.3.2.3 leaves the properties out for a 3.1.1 client")
    func withoutProperties() throws {
        let test = TestBroker()
        let subscriber = try test.connect("s", .v3_1_1)
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        for qos in QoS.allCases { try publisher.publish("t", "x", qos: qos) { $0.properties.contentType = "a/b" } }
        #expect(try subscriber.texts() == ["x", "x", "x"])
    }

    @Test("[MQTT-3.3.1-3] sets DUP of its own, whatever the publisher set", arguments: ProtocolVersion.allCases)
    func dup(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let subscriber = try test.connect("s", version)
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p", version)
        try publisher.sendPublish("t", "x", qos: .atLeastOnce, dup: true)
        try publisher.sendPublish("t", "y", qos: .exactlyOnce, dup: true)
        #expect(try subscriber.messages().map(\.dup) == [false, false])
    }
}
