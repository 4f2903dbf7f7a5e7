import BrokerCore
import BrokerTestSupport
import MQTTCodec
import MQTTTransport
import NIOCore
import NIOEmbedded
import Testing

/// The handler on the core loop and, through a `LoopBridge`, on another: they are not to be told apart.
@Suite struct MQTTChannelHandlerTests {
    static let loops = [false, true]

    @Test("takes bytes cut anywhere", arguments: loops, ProtocolVersion.allCases)
    func cuts(_ ownLoop: Bool, _ version: ProtocolVersion) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let client = try broker.open(version)
        var bytes = client.encoded(.connect(Connect(version: version, clientID: "a")))
        bytes.writeImmutableBuffer(client.encoded(.pingreq))
        for byte in bytes.readableBytesView { try client.feed(ByteBuffer(bytes: [byte])) }
        broker.run()
        #expect(try client.packets().map(\.type) == [.connack, .pingresp])
    }

    @Test("writes once a tick, whatever was read in it", arguments: loops)
    func coalesces(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let subscriber = try broker.connect("s")
        try subscriber.subscribe("t")
        let publishers = try (0..<5).map { try broker.connect("p\($0)") }
        for publisher in publishers {
            for number in 0..<3 { try publisher.feed(publisher.publish("t", "\(number)", qos: .atLeastOnce)) }
        }
        broker.run()
        let writes = try subscriber.writes()
        #expect(writes.count == 1)
        for publisher in publishers { #expect(try publisher.writes().count == 1) }
        var bytes = try #require(writes.first)
        var decoder = PacketDecoder(role: .client, version: .v5)
        var count = 0
        while try decoder.decode(from: &bytes) != nil { count += 1 }
        #expect(count == 15)
    }

    @Test("writes nothing before the tick's end", arguments: loops)
    func notBefore(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let client = try broker.connect("a")
        try client.feed(client.encoded(.pingreq))
        #expect(try client.writes().isEmpty)
        broker.run()
        #expect(try client.packets() == [.pingresp])
    }

    @Test("the end of the channel is the end of the connection", arguments: loops)
    func inactive(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let watcher = try broker.connect("w")
        try watcher.subscribe("will")
        let client = try broker.connect("a") {
            $0.will = try? Will(topic: TopicName("will"), payload: ByteBuffer(string: "gone"))
        }
        client.channel.close(promise: nil)
        broker.run()
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("an error on the channel is the end of the connection", arguments: loops)
    func error(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let watcher = try broker.connect("w")
        try watcher.subscribe("will")
        let client = try broker.connect("a") {
            $0.will = try? Will(topic: TopicName("will"), payload: ByteBuffer(string: "gone"))
        }
        client.channel.pipeline.fireErrorCaught(ConnectionReset())
        broker.run()
        #expect(client.isClosed)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("serves what was read before the channel ended, and DISCONNECT with it", arguments: loops)
    func lastBytes(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let watcher = try broker.connect("w")
        try watcher.subscribe("#")
        let client = try broker.connect("a") {
            $0.will = try? Will(topic: TopicName("will"), payload: ByteBuffer(string: "gone"))
        }
        try client.feed(client.publish("t", "last"))
        try client.feed(client.encoded(.disconnect(Disconnect())))
        client.channel.close(promise: nil)
        broker.run()
        #expect(try watcher.texts() == ["last"])
    }

    @Test("a CONNECT that is answered by a refusal gets the answer, and then the channel closes", arguments: loops)
    func refusal(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop) { $0.connections = 1 }
        _ = try broker.connect("a")
        let client = try broker.open()
        try client.send(.connect(Connect(clientID: "b")))
        #expect(try client.packets() == [.connack(Connack(sessionPresent: false, reasonCode: .serverBusy))])
        #expect(client.isClosed)
    }

    @Test("closes on first bytes of another protocol", arguments: loops, ["47455420", "1603010200", "00", "ffff"])
    func otherProtocol(_ ownLoop: Bool, _ words: String) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let client = try broker.open()
        try client.feed(wire(words))
        // One byte alone may yet become anything.
        try client.feed(wire("00"))
        broker.run()
        #expect(client.isClosed)
        #expect(try client.writes().isEmpty)
    }

    @Test("a client that is taken over is told, and its channel closes", arguments: loops)
    func takenOver(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let old = try broker.connect("a")
        let new = try broker.connect("a")
        #expect(try old.packets() == [.disconnect(Disconnect(reasonCode: .sessionTakenOver))])
        #expect(old.isClosed)
        #expect(!new.isClosed)
    }

    @Test("a channel that is not writable is written nothing, and all of it later, in order", arguments: loops)
    func unwritable(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let subscriber = try broker.connect("s")
        try subscriber.subscribe("t")
        subscriber.channel.isWritable = false
        subscriber.channel.pipeline.fireChannelWritabilityChanged()
        broker.run()
        let publisher = try broker.connect("p")
        for number in 0..<5 {
            try publisher.feed(publisher.publish("t", "\(number)", qos: number % 2 == 0 ? .atMostOnce : .atLeastOnce))
            broker.run()
        }
        #expect(try subscriber.writes().isEmpty)
        subscriber.channel.isWritable = true
        subscriber.channel.pipeline.fireChannelWritabilityChanged()
        broker.run()
        // QoS 1 waits in the queue while QoS 0 waits in the output: each keeps its own order [MQTT-4.6.0-5].
        let texts = try subscriber.texts()
        #expect(texts.filter { ["0", "2", "4"].contains($0) } == ["0", "2", "4"])
        #expect(texts.filter { ["1", "3"].contains($0) } == ["1", "3"])
        #expect(texts.count == 5)
    }

    @Test("a channel that is not writable holds no more than the bound", arguments: loops)
    func bounded(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let subscriber = try broker.connect("s")
        try subscriber.subscribe("t")
        subscriber.channel.isWritable = false
        subscriber.channel.pipeline.fireChannelWritabilityChanged()
        broker.run()
        let publisher = try broker.connect("p")
        let text = String(repeating: "x", count: 1_000_000)
        for _ in 0..<20 {
            try publisher.feed(publisher.publish("t", text))
            broker.run()
        }
        subscriber.channel.isWritable = true
        subscriber.channel.pipeline.fireChannelWritabilityChanged()
        broker.run()
        #expect(try subscriber.texts().count == 11)
    }

    @Test("closes a channel that sends no CONNECT in time", arguments: loops)
    func connectTimeout(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop) { $0.connectTimeout = 0 }
        let client = try broker.open()
        broker.coreLoop.advanceTime(to: .now())
        broker.run()
        #expect(client.isClosed)
    }

    @Test("tells every client that the broker shuts down, and closes", arguments: loops)
    func shutdown(_ ownLoop: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let clients = try (0..<3).map { try broker.connect("\($0)") }
        broker.submit { $0.shutdown() }
        broker.run()
        for client in clients {
            #expect(try client.packets() == [.disconnect(Disconnect(reasonCode: .serverShuttingDown))])
            #expect(client.isClosed)
        }
    }

    @Test("a connection that has ended is not kept in memory, whoever ended it", arguments: loops, [true, false])
    func released(_ ownLoop: Bool, _ byClient: Bool) throws {
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        weak var handler: MQTTChannelHandler?
        do {
            let client = try broker.connect("a") {
                $0.keepAlive = 60
                $0.properties.sessionExpiryInterval = 60
            }
            try client.subscribe("t/+")
            try client.feed(client.publish("t/x", "x", qos: .atLeastOnce))
            broker.run()
            handler = try client.channel.pipeline.syncOperations.handler(type: MQTTChannelHandler.self)
            #expect(handler != nil)
            if byClient { client.channel.close(promise: nil) } else { broker.submit { $0.shutdown() } }
            broker.run()
            // The timer that closes what lingers.
            broker.channelLoop.advanceTime(by: .seconds(1))
            broker.run()
        }
        #expect(handler == nil)
    }

    @Test("stops reading while the core is behind, and reads on when it has caught up")
    func pauses() throws {
        let broker = EmbeddedBroker(ownLoop: true)
        let reads = ReadCounter()
        let client = try broker.open(below: [reads])
        try client.send(.connect(Connect(clientID: "a")))
        let large = try client.publish("t", String(repeating: "x", count: 100_000))
        client.channel.read()
        #expect(reads.count == 1)
        for _ in 0..<3 { try client.feed(large) }
        client.channel.read()
        client.channel.read()
        #expect(reads.count == 1)
        broker.run()
        #expect(reads.count == 2)
        client.channel.read()
        #expect(reads.count == 3)
        #expect(!client.isClosed)
    }

    @Test("many clients on two loops exchange messages in order", arguments: loops, 0..<5 as Range<UInt64>)
    func order(_ ownLoop: Bool, _ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let broker = EmbeddedBroker(ownLoop: ownLoop)
        let clients = try (0..<5).map { try broker.connect("\($0)") }
        for client in clients { try client.subscribe("t/+") }
        var sent = clients.map { _ in [String]() }
        var got = clients.map { _ in [String]() }
        for number in 0..<300 {
            let who = generator.number(0...(clients.count - 1))
            let text = "\(who):\(number)"
            sent[who].append(text)
            try clients[who].feed(clients[who].publish("t/\(who)", text))
            if generator.once(in: 5) { broker.run() }
        }
        broker.run()
        for (place, client) in clients.enumerated() { got[place] += try client.texts() }
        for texts in got {
            for (who, own) in sent.enumerated() { #expect(texts.filter { $0.hasPrefix("\(who):") } == own) }
        }
    }
}

/// Counts the reads that reach the network.
private final class ReadCounter: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var count = 0

    func read(context: ChannelHandlerContext) {
        count += 1
        context.read()
    }
}

/// What a peer that vanishes looks like.
private struct ConnectionReset: Error {}
