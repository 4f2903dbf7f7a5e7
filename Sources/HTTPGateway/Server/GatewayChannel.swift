import BrokerCore
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// Sets one accepted connection up: HTTP, unless its first request makes it a WebSocket.
struct GatewayChannel: HTTPChannelHandler {
    /// What a connection has become.
    enum Value: ServerChildChannelValue {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>, ClientPresence)
        /// Its pipeline does everything.
        case webSocket(any Channel)

        var channel: any Channel {
            switch self {
            case .http(let asyncChannel, _): asyncChannel.channel
            case .webSocket(let channel): channel
            }
        }
    }

    let responder: Responder
    private let gateway: Gateway
    private let configuration: HTTPListener.Configuration
    private let limits: Limits
    private let open: OpenChannels
    private let configureMQTT: @Sendable (any Channel) throws -> Void

    init(
        gateway: Gateway,
        configuration: HTTPListener.Configuration,
        limits: Limits,
        open: OpenChannels,
        configureMQTT: @escaping @Sendable (any Channel) throws -> Void
    ) {
        self.init(gateway, configuration, limits, open, configureMQTT, presence: ClientPresence())
    }

    private init(
        _ gateway: Gateway,
        _ configuration: HTTPListener.Configuration,
        _ limits: Limits,
        _ open: OpenChannels,
        _ configureMQTT: @escaping @Sendable (any Channel) throws -> Void,
        presence: ClientPresence
    ) {
        self.gateway = gateway
        self.configuration = configuration
        self.limits = limits
        self.open = open
        self.configureMQTT = configureMQTT
        responder = { request, writer, channel in
            try await gateway.respond(to: request, writer, Client(channel: channel, presence: presence))
        }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        open.add(channel)
        let presence = ClientPresence()
        let handshake = WebSocketHandshake(
            path: configuration.websocketPath,
            allowedOrigins: configuration.allowedOrigins
        )
        return channel.eventLoop.makeCompletedFuture { () throws -> EventLoopFuture<Value> in
            try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            return try configurePipeline(channel, presence, handshake, logger)
        }
        .flatMap { $0 }
    }

    func handle(value: Value, logger: Logger) async {
        guard case .http(let asyncChannel, let presence) = value else { return }
        await GatewayChannel(gateway, configuration, limits, open, configureMQTT, presence: presence)
            .handleHTTP(asyncChannel: asyncChannel, logger: logger)
    }

    private func configurePipeline(
        _ channel: any Channel,
        _ presence: ClientPresence,
        _ handshake: WebSocketHandshake,
        _ logger: Logger
    ) throws -> EventLoopFuture<Value> {
        var decoderLimits = NIOHTTPDecoderLimitConfiguration()
        decoderLimits.maxHeaderFieldSize = configuration.maximumHeaderSize
        decoderLimits.maxHeaderListSize = configuration.maximumHeaderSize
        decoderLimits.maxHeaderFieldCount = configuration.maximumHeaderCount
        let encoder = HTTPResponseEncoder()
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: decoderLimits)
        )
        let requestGuard = RequestGuard(
            presence: presence,
            handshake: handshake,
            firstRequestTimeout: configuration.idleTimeout.timeAmount
        )
        let upgrade = NIOTypedHTTPServerUpgradeHandler<Value>(
            httpEncoder: encoder,
            extraHTTPHandlers: [decoder, requestGuard],
            upgradeConfiguration: .init(
                upgraders: [
                    MQTTUpgrader(handshake: handshake, limits: limits, configureMQTT: configureMQTT)
                ],
                notUpgradingCompletionHandler: { [configuration] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try Self.configureHTTP(channel, presence, configuration, logger)
                    }
                }
            )
        )
        let operations = channel.pipeline.syncOperations
        try operations.addHandler(encoder)
        try operations.addHandler(decoder)
        try operations.addHandler(requestGuard)
        try operations.addHandler(upgrade)
        return upgrade.upgradeResultFuture
    }

    private static func configureHTTP(
        _ channel: any Channel,
        _ presence: ClientPresence,
        _ configuration: HTTPListener.Configuration,
        _ logger: Logger
    ) throws -> Value {
        let operations = channel.pipeline.syncOperations
        try operations.addHandler(HTTP1ToHTTPServerCodec(secure: false))
        try operations.addHandler(HTTPConnectionStateHandler(idleTimeout: configuration.idleTimeout, logger: logger))
        let asyncChannel = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
            wrappingChannelSynchronously: channel,
            configuration: .init(isOutboundHalfClosureEnabled: true)
        )
        return .http(asyncChannel, presence)
    }
}

/// The client of one HTTP connection.
struct Client: Sendable {
    let channel: any Channel
    let presence: ClientPresence

    /// Its address and port as text.
    var remoteAddress: String {
        guard let address = channel.remoteAddress, let host = address.ipAddress else { return "" }
        return host.utf8.contains(UInt8(ascii: ":"))
            ? "[\(host)]:\(address.port ?? 0)" : "\(host):\(address.port ?? 0)"
    }
}
