import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// A slow client costs a bounded amount of memory, and nobody else a message.
@Suite struct BoundTests {
    private let test = TestBroker()

    @Test("lets go of its clients when it ends")
    func letsGo() throws {
        weak var held: VirtualConnection?
        do {
            let test = TestBroker()
            let client = SinkClient(test)
            client.connect(ConnectRequest(clientID: "a"))
            client.subscribe("t")
            held = client.connection
        }
        #expect(held == nil)
    }

    @Test(
        "drops QoS 0 for a client whose connection is full, counts it, and bounds what is held",
        arguments: ProtocolVersion.allCases
    )
    func qos0(_ version: ProtocolVersion) throws {
        let slow = try test.connect("slow", version)
        let fast = try test.connect("fast", version)
        for client in [slow, fast] { try client.subscribe("t") }
        slow.setWritable(false)
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 500_000)
        for _ in 0..<40 { try publisher.publish("t", text) }
        #expect(slow.outputBytes < 12_000_000)
        #expect(test.broker.statistics.dropped > 15)
        #expect(try fast.messages().count == 40)
        slow.setWritable(true)
        let got = try slow.messages().count
        #expect(got + Int(test.broker.statistics.dropped) == 40)
        try publisher.publish("t", "again")
        #expect(try slow.texts() == ["again"])
    }

    @Test(
        "queues QoS 1 and 2 for a client whose connection is full, and sends it all when it takes more",
        arguments: ProtocolVersion.allCases
    )
    func qos1(_ version: ProtocolVersion) throws {
        let slow = try test.connect("slow", version)
        try slow.subscribe("t", qos: .exactlyOnce)
        slow.setWritable(false)
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 50_000)
        for number in 0..<100 {
            try publisher.publish("t", "\(number)" + text, qos: number % 2 == 0 ? .atLeastOnce : .exactlyOnce)
        }
        #expect(slow.outputBytes < 400_000)
        slow.setWritable(true)
        #expect(try slow.texts() == (0..<100).map { "\($0)" + text })
        #expect(test.broker.statistics.dropped == 0)
    }

    @Test(
        "ends the connection of a client that asks on and on and reads no answer",
        arguments: ProtocolVersion.allCases
    )
    func answers(_ version: ProtocolVersion) throws {
        let client = try test.connect("a", version)
        try client.subscribe("t")
        client.setWritable(false)
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 1_000_000)
        for _ in 0..<12 { try publisher.publish("t", text) }
        let ask = client.encoded(.publish(Publish(topic: try TopicName("x"), qos: .atLeastOnce, packetID: 1)))
        var asks = ByteBuffer()
        for _ in 0..<1_000 { asks.writeImmutableBuffer(ask) }
        for _ in 0..<500 where !client.isClosed { client.send(asks) }
        #expect(client.isClosed)
        #expect(client.outputBytes == 0)
    }

    @Test(
        "loses nothing when a write fills and drains the connection before it returns",
        arguments: ProtocolVersion.allCases
    )
    func flapping(_ version: ProtocolVersion) throws {
        let client = try test.connectPersistent("s", version)
        try client.subscribe("t", qos: .atLeastOnce)
        client.drop()
        let publisher = try test.connect("p")
        let text = String(repeating: "x", count: 50_000)
        for number in 0..<40 { try publisher.publish("t", "\(number)" + text, qos: .atLeastOnce) }
        let again = test.open(version)
        again.flapWritability()
        again.send(.connect(Connect(version: version, cleanStart: false, clientID: "s")))
        #expect(try again.texts() == (0..<40).map { "\($0)" + text })
    }

    @Test(
        "ends the connection of a client whose queue overflows by a message nobody sent",
        arguments: ProtocolVersion.allCases
    )
    func overflowByWill(_ version: ProtocolVersion) throws {
        let test = TestBroker(
            queue: {
                $0.messages = 1
                $0.whenFull = .disconnect
            },
            limits: { $0.inflightMessages = 1 }
        )
        let client = try test.connect("s", version)
        try client.subscribe("will", qos: .atLeastOnce)
        for number in 1...3 {
            let will = Will(
                topic: try TopicName("will"),
                payload: ByteBuffer(),
                qos: .atLeastOnce,
                delayInterval: UInt32(number * 10)
            )
            try test.connectPersistent("\(number)") { $0.will = will }.drop()
        }
        // One in flight, one queued; the third has no place, and nothing else happens in its tick.
        for _ in 1...2 {
            test.advance(seconds: 10)
            #expect(!client.isClosed)
        }
        test.advance(seconds: 10)
        #expect(try client.wasEnded(.quotaExceeded))
    }

    @Test("a connection that has ended is not kept in memory, whoever ended it", arguments: [true, false])
    func connectionReleased(_ byClient: Bool) throws {
        weak var connection: VirtualConnection?
        do {
            let gateway = SinkClient(test)
            gateway.connect(ConnectRequest(clientID: "g", sessionExpiryInterval: 1_000, keepAlive: 60))
            gateway.subscribe("t/+", qos: .atLeastOnce)
            for _ in 0..<3 { try gateway.publish("t/x", "x", qos: .atLeastOnce) }
            connection = gateway.connection
            if byClient { gateway.disconnect() } else { _ = try test.connect("g") }
        }
        #expect(connection == nil)
    }

    @Test("a session that has ended keeps no message in memory")
    func givesBack() throws {
        let client = try test.connect("s") { $0.properties.sessionExpiryInterval = 10 }
        try client.subscribe("t/+", qos: .atLeastOnce)
        client.drop()
        let gateway = SinkClient(test)
        gateway.connect(ConnectRequest(clientID: "g"))
        weak var held: MessageProperties?
        for _ in 0..<3 {
            var properties = PublishProperties()
            properties.contentType = "text/plain"
            let forwarded = MessageProperties.forwarded(from: properties)
            held = forwarded
            let message = Message(
                topic: try TopicName("t/x"),
                payload: ByteBuffer(),
                qos: .atLeastOnce,
                properties: forwarded
            )
            #expect(test.broker.publish(message, from: gateway.connection) == .success)
        }
        #expect(held != nil)
        test.advance(seconds: 10)
        test.storeAll()
        #expect(held == nil)
    }

    @Test("writes once a tick, whatever came in it", arguments: ProtocolVersion.allCases)
    func coalesces(_ version: ProtocolVersion) throws {
        let subscriber = try test.connect("s", version)
        try subscriber.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p", version)
        let before = (subscriber.writes, publisher.writes)
        var bytes = ByteBuffer()
        for number in 1...50 as ClosedRange<PacketID> {
            bytes.writeImmutableBuffer(
                publisher.encoded(
                    .publish(Publish(topic: try TopicName("t"), qos: QoS.allCases[Int(number) % 3], packetID: number))
                )
            )
        }
        publisher.send(bytes)
        #expect(subscriber.writes == before.0 + 1)
        #expect(publisher.writes == before.1 + 1)
        #expect(try subscriber.takePublishes().count == 50)
    }

    @Test("counts messages received, sent and dropped")
    func statistics() throws {
        let subscribers = try (0..<3).map { try test.connect("\($0)") }
        for subscriber in subscribers { try subscriber.subscribe("t", qos: .exactlyOnce) }
        let publisher = try test.connect("p")
        for qos in QoS.allCases { try publisher.publish("t", qos: qos) }
        try publisher.publish("nobody")
        #expect(test.broker.statistics.published == 4)
        #expect(test.broker.statistics.delivered == 9)
        #expect(test.broker.statistics.dropped == 0)
    }

    @Test("[MQTT-3.1.2-25] discards an answer that is larger than its client takes")
    func answerTooLarge() throws {
        let client = try test.connect("c") { $0.properties.maximumPacketSize = 30 }
        let filters = (0..<30).map { Subscribe.Subscription(filter: "\($0)") }
        client.send(.subscribe(Subscribe(packetID: 1, subscriptions: filters)))
        #expect(try client.packets().isEmpty)
        client.send(.pingreq)
        #expect(try client.packets() == [.pingresp])
    }
}
