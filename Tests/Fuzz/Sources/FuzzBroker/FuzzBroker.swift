import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore

/// Reads arbitrary bytes as a schedule of what several clients do, and as what they send.
///
/// Whatever a client does, the broker must not crash, and what it sends to every client must be packets of the client's
/// version.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var script = Script(bytes: ByteBuffer(bytes: UnsafeRawBufferPointer(start: start, count: count)))
    script.run()
    return 0
}

/// One run of a broker with four clients.
private struct Script {
    private static let clients = 4
    private static let topics = ["a", "a/b", "a/b/c", "$SYS/a", "", "a//b", "\u{e9}"]
    private static let filters = ["a", "a/+", "#", "+/b/#", "$share/g/a", "$share/g/#", "a/#/b", "$SYS/#", ""]

    var bytes: ByteBuffer
    private let test = TestBroker { queue in
        queue.messages = 8
    } limits: { limits in
        limits.maximumPacketSize = 4_096
        limits.receiveMaximum = 4
        limits.retainedMessages = 4
        limits.subscriptionsPerSession = 4
        limits.connections = 3
    }
    private var clients: [TestClient?] = Array(repeating: nil, count: clients)

    init(bytes: ByteBuffer) { self.bytes = bytes }

    mutating func run() {
        while let step = bytes.readInteger(as: UInt8.self) {
            let place = Int(step & 0x03)
            act(step >> 2, place)
            for client in clients { check(client) }
        }
        for client in clients { client?.drop() }
        test.advance(seconds: 100_000)
    }

    private mutating func act(_ action: UInt8, _ place: Int) {
        switch action % 12 {
        case 0: connect(place)
        case 1: clients[place]?.send(raw())
        case 2: clients[place]?.drop()
        case 3: test.advance(seconds: Double(byte()))
        case 4: clients[place]?.setWritable(byte() & 1 == 0)
        case 5: clients[place]?.send(.publish(publish()))
        case 6: clients[place]?.send(.subscribe(subscribe()))
        case 7: clients[place]?.send(.unsubscribe(Unsubscribe(packetID: packetID(), filters: [filter()])))
        case 8: clients[place]?.send(acknowledgement())
        case 9:
            clients[place]?.send(
                .disconnect(Disconnect(reasonCode: byte() & 1 == 0 ? .success : .disconnectWithWillMessage))
            )
        case 10: clients[place]?.feed(raw())
        default: test.flush()
        }
    }

    private mutating func connect(_ place: Int) {
        let flags = byte()
        clients[place]?.drop()
        let client = test.open(flags & 1 == 0 ? .v3_1_1 : .v5)
        clients[place] = client
        var connect = Connect(version: client.version, cleanStart: flags & 2 == 0, clientID: "c\(flags >> 6)")
        connect.keepAlive = UInt16(flags & 4)
        if flags & 8 != 0, let topic = try? TopicName("a/b") {
            connect.will = Will(
                topic: topic,
                payload: ByteBuffer(string: "will"),
                qos: .atLeastOnce,
                retain: flags & 4 != 0,
                delayInterval: client.version == .v5 ? UInt32(flags & 16) : 0
            )
        }
        if client.version == .v5 {
            connect.properties.sessionExpiryInterval = flags & 32 == 0 ? nil : 100
            connect.properties.receiveMaximum = flags & 16 == 0 ? nil : 2
            connect.properties.topicAliasMaximum = 2
            connect.properties.maximumPacketSize = flags & 8 == 0 ? nil : 64
        }
        client.send(.connect(connect))
    }

    private func check(_ client: TestClient?) {
        do {
            _ = try client?.packets()
        } catch {
            preconditionFailure("the broker sent what is no packet: \(error)")
        }
    }

    // MARK: Values

    private mutating func byte() -> UInt8 { bytes.readInteger() ?? 0 }

    private mutating func packetID() -> PacketID { PacketID(byte() % 6) + 1 }

    private mutating func raw() -> ByteBuffer {
        bytes.readSlice(length: min(Int(byte()), bytes.readableBytes)) ?? ByteBuffer()
    }

    private mutating func filter() -> String { Self.filters[Int(byte()) % Self.filters.count] }

    private mutating func publish() -> Publish {
        let flags = byte()
        let qos = QoS(rawValue: flags & 3) ?? .atMostOnce
        var publish = Publish(
            topic: try? TopicName(Self.topics[Int(byte()) % Self.topics.count]),
            payload: ByteBuffer(repeating: 0x61, count: Int(flags >> 5) * 16),
            dup: qos != .atMostOnce && flags & 8 != 0,
            qos: qos,
            retain: flags & 4 != 0,
            packetID: qos == .atMostOnce ? nil : packetID()
        )
        if flags & 16 != 0 {
            publish.properties.messageExpiryInterval = UInt32(byte())
            publish.properties.topicAlias = UInt16(byte() % 4)
        }
        return publish
    }

    private mutating func subscribe() -> Subscribe {
        let flags = byte()
        let options = SubscriptionOptions(
            qos: QoS(rawValue: flags & 3) ?? .atMostOnce,
            noLocal: flags & 4 != 0,
            retainAsPublished: flags & 8 != 0,
            retainHandling: .init(rawValue: flags >> 4 & 3) ?? .sendAtSubscribe
        )
        return Subscribe(
            packetID: packetID(),
            subscriptions: [Subscribe.Subscription(filter: filter(), options: options)],
            subscriptionIdentifier: flags & 64 == 0 ? nil : 7
        )
    }

    private mutating func acknowledgement() -> Packet {
        let kind = byte()
        let acknowledgement = Acknowledgement(
            packetID: packetID(),
            reasonCode: kind & 4 == 0 ? .success : .quotaExceeded
        )
        return switch kind & 3 {
        case 0: .puback(acknowledgement)
        case 1: .pubrec(acknowledgement)
        case 2: .pubrel(Acknowledgement(packetID: acknowledgement.packetID))
        default: .pubcomp(Acknowledgement(packetID: acknowledgement.packetID))
        }
    }
}
