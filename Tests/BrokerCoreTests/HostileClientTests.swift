import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Clients that send anything at all.
///
/// Whatever they do, every byte the broker sends is a packet it may send: a `TestClient` decodes strictly, and throws on
/// anything else.
@Suite struct HostileClientTests {
    private static let topics = ["t/a", "t/b", "t", "$x/a", "r/1"]
    private static let filters = ["t/+", "#", "t/a", "$share/g/t/+", "$share/g/#", "+/1", "t/#", "bad/#/x", "$x/#"]

    @Test(
        "answers whatever comes with packets that are in order, and goes on serving others",
        arguments: 0..<80 as Range<UInt64>
    )
    func anything(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let test = TestBroker(
            queue: {
                $0.messages = 20
                $0.whenFull = generator.pick(QueueLimits.Policy.allCases)
            },
            limits: {
                $0.maximumQoS = generator.pick([2, 2, 2, 1, 0])
                $0.retainAvailable = !generator.once(in: 4)
                $0.inflightMessages = 5
                $0.subscriptionsPerSession = 5
                $0.retainedMessages = 3
                $0.maximumPacketSize = 20_000
            }
        )
        var clients: [TestClient] = []
        for _ in 0..<300 {
            if clients.count < 4 || generator.once(in: 12) { clients.append(try Self.connect(test, &generator)) }
            let client = clients[generator.number(0...(clients.count - 1))]
            switch generator.number(0...39) {
            case 0: client.drop()
            case 1: client.setWritable(generator.once(in: 2))
            case 2: test.advance(seconds: Double(generator.number(0...8)))
            case 3: client.send(ByteBuffer(bytes: generator.bytes(count: generator.number(1...30))))
            case 4...12: for message in try client.takePublishes() { client.answer(message) }
            default: client.send(Self.bytes(client, &generator), cutEvery: generator.number(1...400))
            }
            for client in clients { try client.passOverAnswers() }
            clients.removeAll { $0.isClosed && generator.once(in: 2) }
        }
        for client in clients { client.setWritable(true) }
        for client in clients { _ = try client.packets() }
        let (good, other) = (try test.connect("good"), try test.connect("other"))
        try good.subscribe("fine")
        try other.publish("fine", "still")
        #expect(try good.texts() == ["still"])
    }

    private static func connect(_ test: TestBroker, _ generator: inout SplitMix64) throws -> TestClient {
        let client = test.open(generator.pick(ProtocolVersion.allCases))
        try client.connect(generator.pick(["a", "b", "c", ""])) {
            $0.cleanStart = generator.once(in: 2)
            $0.keepAlive = generator.pick([0, 5, 60])
            if generator.once(in: 2) {
                $0.will = try? Will(
                    topic: TopicName(generator.pick(topics)),
                    payload: ByteBuffer(string: "will"),
                    qos: generator.pick(QoS.allCases),
                    retain: generator.once(in: 3),
                    delayInterval: client.version == .v5 ? generator.number(0...10) : 0
                )
            }
            guard client.version == .v5 else { return }
            $0.properties.sessionExpiryInterval = generator.pick([nil, 10, .max])
            $0.properties.receiveMaximum = generator.pick([nil, 1, 3])
            $0.properties.maximumPacketSize = generator.pick([nil, 60, 500])
        }
        guard !client.isClosed else { return client }
        try client.subscribe(generator.pick(["t/+", "#", "$share/g/t/+"]), qos: generator.pick(QoS.allCases))
        return client
    }

    /// A packet to the point, any packet, or a damaged one.
    private static func bytes(_ client: TestClient, _ generator: inout SplitMix64) -> ByteBuffer {
        var random = RandomPackets(seed: generator.next(), version: client.version)
        var packet: Packet
        switch generator.number(0...39) {
        case 0...25:
            var publish = random.publish(.server)
            publish.topic = try? TopicName(generator.pick(topics))
            if generator.once(in: 3) {
                publish.properties.topicAlias = client.version == .v5 ? generator.number(1...11) : nil
            }
            packet = .publish(publish)
        case 26...35:
            let options = SubscriptionOptions(
                qos: generator.pick(QoS.allCases),
                noLocal: client.version == .v5 && generator.once(in: 5),
                retainAsPublished: client.version == .v5 && generator.once(in: 2)
            )
            packet = .subscribe(
                Subscribe(
                    packetID: 1,
                    subscriptions: (0...generator.number(0...2)).map { _ in
                        .init(filter: generator.pick(filters), options: options)
                    },
                    subscriptionIdentifier: client.version == .v5 && generator.once(in: 2)
                        ? generator.number(1...300) : nil
                )
            )
        case 36, 37: packet = .unsubscribe(Unsubscribe(packetID: 2, filters: [generator.pick(filters)]))
        default: packet = random.packet(for: .server)
        }
        var bytes = client.encoded(packet)
        if generator.once(in: 20) {
            let place = bytes.readerIndex + generator.number(0...min(20, bytes.readableBytes - 1))
            bytes.setInteger(generator.number(0...255) as UInt8, at: place)
        }
        return bytes
    }
}

extension TestClient {
    /// Takes everything but messages.
    fileprivate func passOverAnswers() throws {
        while try take({ packet -> Bool? in if case .publish = packet { nil } else { true } }) != nil {}
    }

    /// Acknowledges in one go, without looking at what the broker says to it.
    fileprivate func answer(_ message: Publish) {
        guard let id = message.packetID else { return }
        send(
            message.qos == .atLeastOnce
                ? .puback(Acknowledgement(packetID: id)) : .pubrec(Acknowledgement(packetID: id))
        )
        if message.qos == .exactlyOnce { send(.pubcomp(Acknowledgement(packetID: id))) }
    }
}
