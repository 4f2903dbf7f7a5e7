import BrokerCore
import CoreRuntime
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1
import NetworkListeners

/// Sets accepted connections up: HTTP, unless the first request makes it a WebSocket.
final class GatewayChannels: Sendable {
    private let gateway: Gateway
    private let places: SocketPlaces
    private let loops: [ObjectIdentifier: GatewayLoop]
    private let configureMQTT: HTTPListener.ConfigureMQTT

    init(
        _ gateway: Gateway,
        places: SocketPlaces,
        on eventLoopGroup: any EventLoopGroup,
        configureMQTT: @escaping HTTPListener.ConfigureMQTT
    ) {
        self.gateway = gateway
        self.places = places
        self.configureMQTT = configureMQTT
        var loops: [ObjectIdentifier: GatewayLoop] = [:]
        for loop in eventLoopGroup.makeIterator() { loops[ObjectIdentifier(loop)] = GatewayLoop(loop) }
        self.loops = loops
    }

    /// Fills a channel's pipeline; on the channel's event loop.
    func configure(_ channel: any Channel) throws {
        let configuration = gateway.configuration
        let eventLoop = channel.eventLoop
        let presence = ClientPresence()
        let client = Client(
            channel: channel,
            presence: presence,
            trustedProxies: configuration.trustedProxies,
            loop: loops[ObjectIdentifier(eventLoop)] ?? GatewayLoop(eventLoop)
        )
        guard configuration.expectsProxyProtocol, configuration.trustedProxies.contains(channel.remoteAddress) else {
            return try configure(channel, client)
        }
        let peer = ClientAddress(channel.remoteAddress, isProxy: true)
        let reader = ProxyHeaderReader(timeout: configuration.handshakeTimeout.timeAmount) { [gateway] failure in
            gateway.events.note(
                .clientRefused,
                by: peer,
                level: failure.isOrdinary ? .debug : nil,
                [.protocolName("http"), .reason("no PROXY header"), .detail(failure.words)]
            )
        } onHeader: { [places] header in
            if let proxied = header.client {
                presence.cameFrom(proxied)
                guard places.assign(channel, to: client.address(forwarded: [])) else { throw NoPlace() }
            }
            try self.configure(channel, client)
        }
        try channel.pipeline.syncOperations.addHandler(reader)
    }

    private struct NoPlace: Error {}

    /// Fills the pipeline of a channel whose other end is known.
    private func configure(_ channel: any Channel, _ client: Client) throws {
        let configuration = gateway.configuration
        let operations = channel.pipeline.syncOperations
        let presence = client.presence
        if let tls = configuration.tls {
            let address = client.address(forwarded: [])
            try tls.secure(channel, timeout: configuration.handshakeTimeout.timeAmount, address: address) { identity in
                presence.authenticated(as: identity)
            }
        } else {
            let watch = ClientHelloWatch { [gateway] in
                let detail = "the client speaks TLS, which this listener does not"
                gateway.events.note(
                    .clientRefused,
                    by: client.address(forwarded: []),
                    [.protocolName("http"), .reason("no HTTP"), .detail(detail)]
                )
            }
            try operations.addHandler(watch)
        }
        let handshake = WebSocketHandshake(
            path: configuration.websocketPath,
            requiresSubprotocol: configuration.requiresSubprotocol
        )
        let encoder = HTTPResponseEncoder()
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: configuration.decoderLimits)
        )
        let undecoded = UndecodedBytes { [bytes = gateway.bytes] in bytes.account(of: client.address(forwarded: [])) }
        let codec = HTTP1ToHTTPServerCodec(secure: configuration.tls != nil)
        let requestHandler = RequestHandler(gateway, client)
        let upgrader = WebSocketUpgrader(
            handshake: handshake,
            gateway: gateway,
            client: client,
            places: places,
            configureMQTT: configureMQTT
        )
        let requestGuard = RequestGuard(
            presence: presence,
            origins: gateway.origins,
            handshake: handshake,
            upgrade: { request, channel, requestGuard in
                let below: [any RemovableChannelHandler] = [undecoded, requestGuard, decoder]
                let http = HTTPHandlers(encoder: encoder, below: below, above: [requestHandler, codec])
                upgrader.upgrade(channel, request, http)
            },
            undecoded: undecoded,
            onMalformed: { [gateway] problem in
                let address = client.address(forwarded: [])
                let fields: [Event.Field] = [.protocolName("http"), .reason("no HTTP"), .detail(problem.detail)]
                gateway.events.note(.clientRefused, by: address, fields)
            },
            headerTimeout: configuration.idleTimeout.timeAmount,
            stallTimeout: configuration.stallTimeout.timeAmount
        )
        try operations.addHandlers(encoder, undecoded, decoder, requestGuard, codec, requestHandler)
    }
}

extension HTTPListener.Configuration {
    fileprivate var decoderLimits: NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = maximumHeaderSize
        limits.maxHeaderListSize = maximumHeaderSize
        limits.maxHeaderFieldCount = maximumHeaderCount
        return limits
    }
}
