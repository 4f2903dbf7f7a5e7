import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What MQTT 5.0 §4.13 calls errors: MQTT 5.0 is told why, 3.1.1 is closed on.
@Suite struct ProtocolErrorTests {
    @Test(
        "[MQTT-3.1.0-2] [MQTT-3.2.0-2] ends the connection on a second CONNECT, whatever it says",
        arguments: ProtocolVersion.allCases
    )
    func secondConnect(_ version: ProtocolVersion) throws {
        let seconds = [
            "10 * \"MQTT\" 05 02 003c {} \"id\"", "10 * \"MQTT\" 04 02 003c \"id\"", "10 * \"MQTT\" 09 02 003c \"id\"",
            "10 * \"nonsense\"",
        ]
        for second in seconds {
            let test = TestBroker()
            let client = try test.connect("a", version)
            client.send(wire(second))
            #expect(try client.wasEnded(.protocolError), "\(second)")
            #expect(try client.packets().isEmpty)
        }
    }

    /// The first byte of each packet but CONNECT, with bytes enough for a whole packet.
    private static let notConnect = [
        "20 02 00 00", "30 * \"t\" {}", "32 * \"t\" 0001 {}", "40 02 0001", "50 02 0001", "62 02 0001", "70 02 0001",
        "82 * 0001 {} \"a\" 00", "90 03 0001 00", "a2 * 0001 {} \"a\"", "b0 02 0001", "c0 00", "d0 00", "e0 00",
        "f0 00",
        "00 00", "47455420 2f20", "160301 0200",
    ]

    @Test("[MQTT-3.1.0-1] [MQTT-3.14.0-1] closes when the first packet is not CONNECT", arguments: notConnect)
    func firstPacket(_ bytes: String) throws {
        let client = TestBroker().open()
        client.send(wire(bytes))
        #expect(client.isClosed)
        #expect(client.unreadBytes == 0)
    }

    @Test("[MQTT-3.1.0-1] does not wait for the rest of a first packet that is not CONNECT")
    func firstPacketUnfinished() throws {
        let client = TestBroker().open()
        client.send(wire("30 ffff1f"))
        #expect(client.isClosed)
    }

    @Test("ends the connection on packets that only a server sends", arguments: ProtocolVersion.allCases)
    func serverPackets(_ version: ProtocolVersion) throws {
        for bytes in ["20 03 00 00 00", "90 04 0001 00 00", "b0 04 0001 00 00", "d0 00"] {
            let client = try TestBroker().connect("a", version)
            client.send(wire(bytes))
            #expect(try client.wasEnded(.protocolError), "\(bytes)")
        }
    }

    private static let errors: [(String, ReasonCode)] = [
        ("00 00", .malformedPacket), ("c1 00", .malformedPacket), ("80 02 0001", .malformedPacket),
        ("36 * \"t\" 0001", .malformedPacket), ("38 * \"t\" 00", .malformedPacket),
        ("32 * \"t\" 0000 00", .protocolError),
        ("30 * \"a/#\" 00", .topicNameInvalid), ("30 * 0002 c328 00", .malformedPacket), ("30 01 00", .malformedPacket),
        ("82 * 0000 00", .protocolError), ("40 01 00", .malformedPacket), ("c0 ffffffff", .malformedPacket),
        ("c0 01 00", .malformedPacket),
    ]

    @Test(
        "[MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-3.14.4-2] [MQTT-2.2.2-2 of 3.1.1] ends the connection on malformed packets",
        arguments: errors,
        ProtocolVersion.allCases
    )
    func malformed(_ error: (String, ReasonCode), _ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        client.send(wire(error.0))
        #expect(try client.wasEnded(error.1))
    }

    @Test(
        "[MQTT-4.13.1-1] [MQTT-4.7.3-1] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.0-1 of 3.1.1] ends the connection on what is no Topic Filter",
        arguments: [[""], ["q", ""], ["ab/+e"], ["a+"], ["a/#/b"], ["#a"], ["$share/g/a#"]],
        ProtocolVersion.allCases
    )
    func noFilter(_ filters: [String], _ version: ProtocolVersion) throws {
        let packets: [Packet] = [
            .subscribe(Subscribe(packetID: 7, subscriptions: filters.map { .init(filter: $0) })),
            .unsubscribe(Unsubscribe(packetID: 7, filters: filters)),
        ]
        for packet in packets {
            let test = TestBroker()
            let client = try test.connect("a", version)
            client.send(packet)
            #expect(try client.wasEnded(.malformedPacket))
            #expect(try client.packets().isEmpty)
        }
    }

    @Test("a Remaining Length in more bytes than it needs is a length in 3.1.1, which does not forbid it")
    func paddedLength() throws {
        let old = TestBroker().open(.v3_1_1)
        old.send(wire("10 8d00 \"MQTT\" 04 02 003c 0001 61"))
        #expect(try old.packets().map(\.type) == [.connack])
        old.send(wire("c0 8000"))
        #expect(try old.packets().map(\.type) == [.pingresp])
        old.send(wire("30 8400 \"t\" 78"))
        #expect(!old.isClosed)
    }

    @Test("[MQTT-1.5.5-1] a Remaining Length in more bytes than it needs ends the connection in 5.0, CONNECT's, too")
    func paddedLength5() throws {
        let new = TestBroker().open()
        new.send(wire("10 8e00 \"MQTT\" 05 02 003c 00 0001 61"))
        #expect(new.isClosed)
        let client = try TestBroker().connect("a")
        client.send(wire("c0 8000"))
        #expect(try client.wasEnded(.malformedPacket))
    }

    @Test("MQTT 5.0 errors that 3.1.1 does not know")
    func malformed5() throws {
        let errors: [(String, ReasonCode)] = [
            ("f0 00", .protocolError), ("f0 * 18 { 15 \"M\" }", .protocolError), ("e0 01 8e", .protocolError),
            ("82 * 0001 {} \"$share/g/t\" 04", .protocolError), ("30 * \"t\" { 0b 01 }", .protocolError),
            ("62 03 0001 80", .protocolError), ("30 * \"t\" { 02 00000001 02 00000001 }", .protocolError),
        ]
        for (bytes, reason) in errors {
            let client = try TestBroker().connect("a")
            client.send(wire(bytes))
            #expect(try client.wasEnded(reason), "\(bytes)")
        }
        let old = try TestBroker().connect("a", .v3_1_1)
        old.send(wire("f0 00"))
        #expect(try old.wasEnded(.malformedPacket))
    }

    @Test(
        "[MQTT-3.2.2-15] ends the connection on a packet that is too large, before it has arrived",
        arguments: ProtocolVersion.allCases
    )
    func tooLarge(_ version: ProtocolVersion) throws {
        let client = try TestBroker { $0.maximumPacketSize = 1_000 }.connect("a", version)
        client.send(wire("30 e607"))
        #expect(try client.wasEnded(.packetTooLarge))
    }

    @Test("takes a packet of just the Maximum Packet Size", arguments: ProtocolVersion.allCases)
    func justFits(_ version: ProtocolVersion) throws {
        let client = try TestBroker { $0.maximumPacketSize = 1_000 }.connect("a", version)
        try client.subscribe("t")
        let header = version == .v5 ? 7 : 6
        try client.publish("t", String(repeating: "x", count: 1_000 - header))
        #expect(try client.texts().map(\.count) == [1_000 - header])
    }

    @Test(
        "[MQTT-3.14.4-1] serves what came before the error, and nothing after it",
        arguments: ProtocolVersion.allCases
    )
    func around(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let watcher = try test.connect("w")
        try watcher.subscribe("t")
        let client = try test.connect("a", version)
        let publish = { (text: String) throws in
            client.encoded(.publish(Publish(topic: try TopicName("t"), payload: ByteBuffer(string: text))))
        }
        var bytes = try publish("before")
        bytes.writeImmutableBuffer(wire("00 00"))
        bytes.writeImmutableBuffer(try publish("after"))
        client.send(bytes)
        client.send(try publish("later"))
        #expect(try watcher.texts() == ["before"])
        #expect(try client.wasEnded(.malformedPacket))
    }

    @Test("serves nothing after DISCONNECT", arguments: ProtocolVersion.allCases)
    func afterDisconnect(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let watcher = try test.connect("w")
        try watcher.subscribe("t")
        let client = try test.connect("a", version)
        var bytes = client.encoded(.disconnect(Disconnect()))
        bytes.writeImmutableBuffer(client.encoded(.publish(Publish(topic: try TopicName("t")))))
        client.send(bytes)
        #expect(client.isClosed)
        #expect(try client.takeDisconnect() == nil)
        #expect(try watcher.messages().isEmpty)
    }

    @Test("takes bytes cut anywhere", arguments: ProtocolVersion.allCases, [1, 2, 3, 7])
    func cuts(_ version: ProtocolVersion, _ size: Int) throws {
        let test = TestBroker()
        let client = test.open(version)
        var bytes = client.encoded(.connect(Connect(version: version, clientID: "a")))
        bytes.writeImmutableBuffer(
            client.encoded(.subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "t")])))
        )
        for number in 0..<20 {
            bytes.writeImmutableBuffer(
                client.encoded(
                    .publish(
                        Publish(
                            topic: try TopicName("t"),
                            payload: ByteBuffer(string: "\(number)"),
                            qos: .exactlyOnce,
                            packetID: PacketID(number + 1)
                        )
                    )
                )
            )
        }
        client.send(bytes, cutEvery: size)
        #expect(try client.takePublishes().map(\.text) == (0..<20).map { "\($0)" })
    }

    @Test("takes a large packet that arrives in small cuts without copying it over and over", .timeLimit(.minutes(1)))
    func largeInSmallCuts() throws {
        let test = TestBroker { $0.maximumPacketSize = 32 * 1_048_576 }
        let client = try test.connect("a")
        try client.subscribe("t")
        let payload = ByteBuffer(repeating: 0x78, count: 24 * 1_048_576)
        var bytes = client.encoded(.publish(Publish(topic: try TopicName("t"), payload: payload)))
        // Copied at each cut this would be more than a terabyte.
        while let piece = bytes.readSlice(length: min(256, bytes.readableBytes)), piece.readableBytes > 0 {
            client.feed(piece)
        }
        test.flush()
        #expect(try client.takePublish()?.payload == payload)
    }
}
