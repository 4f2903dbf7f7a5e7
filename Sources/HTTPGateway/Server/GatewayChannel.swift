import BrokerCore
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Proxies
import TransportSecurity

/// Sets one accepted connection up: HTTP, unless its first request makes it a WebSocket.
struct GatewayChannel: HTTPChannelHandler {
    /// A connection, and what it becomes once its first request has come.
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let negotiated: EventLoopFuture<Negotiated>
    }

    /// What a connection has become.
    enum Negotiated: Sendable {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>, ClientPresence)
        /// Its pipeline does everything.
        case webSocket
    }

    let responder: Responder
    private let gateway: Gateway
    private let configuration: HTTPListener.Configuration
    private let limits: Limits
    private let open: OpenChannels
    private let configureMQTT: HTTPListener.ConfigureMQTT

    init(
        gateway: Gateway,
        configuration: HTTPListener.Configuration,
        limits: Limits,
        open: OpenChannels,
        configureMQTT: @escaping HTTPListener.ConfigureMQTT
    ) {
        self.init(gateway, configuration, limits, open, configureMQTT, presence: ClientPresence())
    }

    private init(
        _ gateway: Gateway,
        _ configuration: HTTPListener.Configuration,
        _ limits: Limits,
        _ open: OpenChannels,
        _ configureMQTT: @escaping HTTPListener.ConfigureMQTT,
        presence: ClientPresence
    ) {
        self.gateway = gateway
        self.configuration = configuration
        self.limits = limits
        self.open = open
        self.configureMQTT = configureMQTT
        responder = { request, writer, channel in
            let client = Client(
                channel: channel,
                presence: presence,
                trustedProxies: configuration.trustedProxies
            )
            try await gateway.respond(to: request, writer, client)
        }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        open.add(channel)
        let presence = ClientPresence()
        let handshake = WebSocketHandshake(
            path: configuration.websocketPath,
            allowedOrigins: configuration.allowedOrigins,
            requiresSubprotocol: configuration.requiresSubprotocol
        )
        return channel.eventLoop.makeCompletedFuture {
            try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            return Value(channel: channel, negotiated: try configurePipeline(channel, presence, handshake, logger))
        }
    }

    func handle(value: Value, logger: Logger) async {
        // It fails when the client leaves without a request.
        guard case .http(let asyncChannel, let presence) = try? await value.negotiated.get() else { return }
        await GatewayChannel(gateway, configuration, limits, open, configureMQTT, presence: presence)
            .handleHTTP(asyncChannel: asyncChannel, logger: logger)
    }

    private func configurePipeline(
        _ channel: any Channel,
        _ presence: ClientPresence,
        _ handshake: WebSocketHandshake,
        _ logger: Logger
    ) throws -> EventLoopFuture<Negotiated> {
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
            headerTimeout: configuration.idleTimeout.timeAmount,
            stallTimeout: configuration.stallTimeout.timeAmount
        )
        let upgrade = NIOTypedHTTPServerUpgradeHandler<Negotiated>(
            httpEncoder: encoder,
            extraHTTPHandlers: [decoder, requestGuard],
            upgradeConfiguration: .init(
                upgraders: [
                    WebSocketUpgrader(
                        handshake: handshake,
                        gateway: gateway,
                        presence: presence,
                        configureMQTT: configureMQTT
                    )
                ],
                notUpgradingCompletionHandler: { [configuration] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try Self.configureHTTP(channel, presence, configuration, logger)
                    }
                }
            )
        )
        let operations = channel.pipeline.syncOperations
        if configuration.expectsProxyProtocol, configuration.trustedProxies.contains(channel.remoteAddress) {
            let reader = ProxyHeaderReader(timeout: configuration.idleTimeout.timeAmount) { header in
                if let client = header.client { presence.cameFrom(client) }
            }
            try operations.addHandler(reader)
        }
        try configuration.tls?.secure(channel, timeout: configuration.idleTimeout.timeAmount) { identity in
            presence.authenticated(as: identity)
        }
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
    ) throws -> Negotiated {
        let operations = channel.pipeline.syncOperations
        try operations.addHandler(HTTP1ToHTTPServerCodec(secure: configuration.tls != nil))
        try operations.addHandler(HTTPConnectionStateHandler(idleTimeout: configuration.idleTimeout, logger: logger))
        let asyncChannel = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
            wrappingChannelSynchronously: channel,
            configuration: .init(isOutboundHalfClosureEnabled: true)
        )
        return .http(asyncChannel, presence)
    }
}
