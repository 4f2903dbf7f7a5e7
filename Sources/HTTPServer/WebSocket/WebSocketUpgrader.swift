import BrokerCore
import CoreRuntime
import NIOCore
import NIOHTTP1
import NIOWebSocket
import NetworkListeners

/// Turns an HTTP connection into a WebSocket that carries MQTT, or `sluice.json`.
struct WebSocketUpgrader {
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

    /// Answers a request that the handshake takes, and puts the WebSocket in the place of HTTP.
    ///
    /// - Parameter http: the handlers of HTTP, from the encoder up; called when nothing is under way in them.
    func upgrade(_ channel: any Channel, _ request: HTTPRequestHead, _ http: HTTPHandlers) {
        let headers = HTTPHeaders([("Connection", "upgrade"), ("Upgrade", "websocket")])
        handshaker.buildUpgradeResponse(
            channel: channel,
            upgradeRequest: request,
            initialResponseHeaders: headers
        )
        .assumeIsolated()
        .whenComplete { result in
            do {
                let response = HTTPResponseHead(
                    version: .http1_1,
                    status: .switchingProtocols,
                    headers: try result.get()
                )
                try switchProtocols(channel, request, response, http)
            } catch {
                channel.close(promise: nil)
            }
        }
    }

    private func switchProtocols(
        _ channel: any Channel,
        _ request: HTTPRequestHead,
        _ response: HTTPResponseHead,
        _ http: HTTPHandlers
    ) throws {
        let operations = channel.pipeline.syncOperations
        for handler in http.above { operations.removeHandler(handler, promise: nil) }
        channel.writeAndFlush(HTTPServerResponsePart.head(response), promise: nil)
        operations.removeHandler(http.encoder, promise: nil)
        // A WebSocket has a close handshake of its own; half of a TCP connection is of no use to it.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
        try configure(channel, request)
        // Bytes that came after the request, the decoder passes on as it leaves.
        for handler in http.below { operations.removeHandler(handler, promise: nil) }
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

/// The handlers of HTTP in a connection's pipeline.
struct HTTPHandlers {
    let encoder: HTTPResponseEncoder
    /// From the decoder up to the guard.
    let below: [any RemovableChannelHandler]
    /// Above the guard.
    let above: [any RemovableChannelHandler]
}
