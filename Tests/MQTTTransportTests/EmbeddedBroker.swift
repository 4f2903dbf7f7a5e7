import BrokerCore
import CoreRuntime
import MQTTCodec
import MQTTTransport
import NIOCore
import NIOEmbedded

/// A broker with channels on event loops that run when the test says so.
final class EmbeddedBroker {
    /// The core's loop.
    let coreLoop = EmbeddedEventLoop()
    /// Where the channels are: the core's loop, or one of their own.
    let channelLoop: EmbeddedEventLoop
    /// What connections keep.
    let bytes: ConnectionBytes
    private let channels: MQTTChannels

    init(
        ownLoop: Bool = false,
        authenticator: (any Authenticator & Sendable)? = nil,
        events: EventLog = .silent,
        _ configure: (inout Limits) -> Void = { _ in }
    ) {
        var limits = Limits()
        configure(&limits)
        channelLoop = ownLoop ? EmbeddedEventLoop() : coreLoop
        let authenticator: (any Authenticator)? = authenticator
        let core = CoreLoop(
            eventLoop: coreLoop,
            broker: Broker(
                limits: limits,
                authenticator: authenticator ?? AnonymousAccess(),
                events: events,
                now: .now()
            )
        )
        bytes = ConnectionBytes(Quota.Limit(total: limits.connectionBytes))
        channels = MQTTChannels(
            core: core,
            eventLoopGroup: channelLoop,
            limits: limits,
            places: SocketPlaces(Quota.Limit(total: 1_000)),
            bytes: bytes,
            events: events
        )
        submit = { work in core.submit(work) }
    }

    /// Runs work on the core loop, later.
    let submit: (@escaping @Sendable (Broker) -> Void) -> Void

    /// An open channel with the MQTT handler.
    ///
    /// - Parameters:
    ///   - below: handlers between it and the network.
    ///   - isBehindProxy: a PROXY protocol header comes first.
    func open(
        _ version: ProtocolVersion = .v5,
        below: [any ChannelHandler] = [],
        isBehindProxy: Bool = false
    ) throws -> EmbeddedClient {
        let channel = EmbeddedChannel(handlers: below, loop: channelLoop)
        if isBehindProxy {
            try channels.accept(channel, isProxied: true, tls: nil)
        } else {
            try channels.configure(channel, transportProtocol: .mqtt)
        }
        try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 50_000), promise: nil)
        run()
        return EmbeddedClient(self, channel, version)
    }

    /// A connected client.
    func connect(
        _ clientID: String,
        _ version: ProtocolVersion = .v5,
        _ configure: (inout Connect) -> Void = { _ in }
    ) throws -> EmbeddedClient {
        let client = try open(version)
        var connect = Connect(version: version, clientID: clientID)
        configure(&connect)
        try client.send(.connect(connect))
        _ = try client.packets()
        return client
    }

    /// Runs both loops until nothing is left to do.
    func run() {
        for _ in 0..<4 {
            channelLoop.run()
            coreLoop.run()
        }
    }
}

/// The far end of an embedded channel.
final class EmbeddedClient {
    let channel: EmbeddedChannel
    private let broker: EmbeddedBroker
    private let version: ProtocolVersion
    private var decoder: PacketDecoder

    init(_ broker: EmbeddedBroker, _ channel: EmbeddedChannel, _ version: ProtocolVersion) {
        self.broker = broker
        self.channel = channel
        self.version = version
        decoder = PacketDecoder(role: .client, version: version)
    }

    /// Whether the channel is closed.
    var isClosed: Bool { !channel.isActive }

    func encoded(_ packet: Packet) -> ByteBuffer {
        var bytes = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &bytes)
        return bytes
    }

    /// The bytes arrive, in a tick that goes on.
    func feed(_ bytes: ByteBuffer) throws { try channel.writeInbound(bytes) }

    /// The packet arrives, and the loops run.
    func send(_ packet: Packet) throws {
        try feed(encoded(packet))
        broker.run()
    }

    /// Takes what was written, one buffer a write.
    func writes() throws -> [ByteBuffer] {
        var writes: [ByteBuffer] = []
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) {
            if bytes.readableBytes > 0 { writes.append(bytes) }
        }
        return writes
    }

    /// Takes the packets that were written.
    func packets() throws -> [Packet] {
        var bytes = ByteBuffer()
        for write in try writes() { bytes.writeImmutableBuffer(write) }
        var packets: [Packet] = []
        while let packet = try decoder.decode(from: &bytes) { packets.append(packet) }
        return packets
    }

    /// Subscribes at QoS 1.
    func subscribe(_ filter: String) throws {
        let options = SubscriptionOptions(qos: .atLeastOnce)
        try send(.subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: filter, options: options)])))
        _ = try packets()
    }

    /// Takes the payloads of the messages that were written.
    func texts() throws -> [String] {
        try packets().compactMap { packet in
            if case .publish(let publish) = packet { String(buffer: publish.payload) } else { nil }
        }
    }

    func publish(_ topic: String, _ text: String, qos: QoS = .atMostOnce) throws -> ByteBuffer {
        encoded(
            .publish(
                Publish(
                    topic: try TopicName(topic),
                    payload: ByteBuffer(string: text),
                    qos: qos,
                    packetID: qos == .atMostOnce ? nil : 1
                )
            )
        )
    }
}
