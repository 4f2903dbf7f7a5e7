import BrokerCore
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Turns an HTTP connection into a WebSocket that carries MQTT.
struct MQTTUpgrader: NIOTypedHTTPServerProtocolUpgrader {
    let supportedProtocol = "websocket"
    // Checked by the handshake.
    let requiredUpgradeHeaders: [String] = []

    private let limits: Limits
    private let configureMQTT: @Sendable (any Channel) throws -> Void
    /// Computes Sec-WebSocket-Accept; its frame handlers are not used.
    private let handshaker: NIOTypedWebSocketServerUpgrader<GatewayChannel.Negotiated>

    init(
        handshake: WebSocketHandshake,
        limits: Limits,
        configureMQTT: @escaping @Sendable (any Channel) throws -> Void
    ) {
        self.limits = limits
        self.configureMQTT = configureMQTT
        handshaker = NIOTypedWebSocketServerUpgrader(
            shouldUpgrade: { channel, head in
                let headers = try? handshake.decide(head).map { HTTPHeaders([("Sec-WebSocket-Protocol", $0)]) }.get()
                return channel.eventLoop.makeSucceededFuture(headers)
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededFuture(.webSocket) }
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

    func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<GatewayChannel.Negotiated> {
        channel.eventLoop.makeCompletedFuture {
            do {
                // A WebSocket has a close handshake of its own; half of a TCP connection is of no use to it.
                try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
                try channel.pipeline.syncOperations.addHandler(
                    WebSocketByteCodec(maximumMessageSize: limits.maximumPacketSize + Self.sizeOfOthers)
                )
                try configureMQTT(channel)
            } catch {
                channel.close(promise: nil)
                throw error
            }
            return .webSocket
        }
    }

    /// Bytes of other packets that may share a message with one of Maximum Packet Size.
    private static let sizeOfOthers = 64 * 1_024
}
