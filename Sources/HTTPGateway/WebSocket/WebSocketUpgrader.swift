import BrokerCore
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Turns an HTTP connection into a WebSocket that carries MQTT, or `sluice.json`.
struct WebSocketUpgrader: NIOTypedHTTPServerProtocolUpgrader {
    let supportedProtocol = "websocket"
    // Checked by the handshake.
    let requiredUpgradeHeaders: [String] = []

    private let handshake: WebSocketHandshake
    private let gateway: Gateway
    private let client: Client
    private let places: SocketPlaces
    private let configureMQTT: HTTPListener.ConfigureMQTT
    /// Computes Sec-WebSocket-Accept; its frame handlers are not used.
    private let handshaker: NIOTypedWebSocketServerUpgrader<Void>

    init(
        handshake: WebSocketHandshake,
        gateway: Gateway,
        client: Client,
        places: SocketPlaces,
        configureMQTT: @escaping HTTPListener.ConfigureMQTT
    ) {
        self.handshake = handshake
        self.gateway = gateway
        self.client = client
        self.places = places
        self.configureMQTT = configureMQTT
        handshaker = NIOTypedWebSocketServerUpgrader(
            shouldUpgrade: { channel, head in
                let headers = try? handshake.decide(head).get().headers
                return channel.eventLoop.makeSucceededFuture(headers)
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
        )
    }

    func buildUpgradeResponse(
        channel: any Channel,
        upgradeRequest: HTTPRequestHead,
        initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        handshaker.buildUpgradeResponse(
            channel: channel,
            upgradeRequest: upgradeRequest,
            initialResponseHeaders: initialResponseHeaders
        )
    }

    func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            do {
                // A WebSocket has a close handshake of its own; half of a TCP connection is of no use to it.
                try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
                try configure(channel, upgradeRequest)
            } catch {
                channel.close(promise: nil)
                throw error
            }
        }
    }

    private func configure(_ channel: any Channel, _ request: HTTPRequestHead) throws {
        let configuration = gateway.configuration
        let address = client.address(forwarded: request.headers["X-Forwarded-For"])
        // From now on the connection is one client's.
        guard places.assign(channel, to: address) else { throw NoPlace() }
        var rules = WebSocketCodec.Rules(maximumMessageSize: gateway.limits.maximumPacketSize + Self.sizeOfOthers)
        rules.pingInterval = configuration.pingInterval?.timeAmount
        rules.stallTimeout = configuration.stallTimeout.timeAmount
        guard try handshake.decide(request).get() == .json else {
            rules.tellsPongs = configuration.pongKeepsAlive
            try channel.pipeline.syncOperations.addHandler(WebSocketCodec(.binary, rules))
            return try configureMQTT(channel, address, client.presence.transportIdentity)
        }
        try channel.pipeline.syncOperations.addHandler(
            WebSocketCodec(.text, rules, account: gateway.bytes.account(of: address))
        )
        try channel.pipeline.syncOperations.addHandler(
            JSONHandler(
                gateway,
                client.loop.encoder,
                address: address,
                transportIdentity: client.presence.transportIdentity
            )
        )
    }

    private struct NoPlace: Error {}

    /// Bytes of other packets that may share a message with one of Maximum Packet Size.
    private static let sizeOfOthers = 64 * 1_024
}

extension Subprotocol? {
    fileprivate var headers: HTTPHeaders {
        map { HTTPHeaders([("Sec-WebSocket-Protocol", $0.rawValue)]) } ?? HTTPHeaders()
    }
}
