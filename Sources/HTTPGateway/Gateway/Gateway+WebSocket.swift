import BrokerCore
import CoreRuntime
import HTTPServer
import MQTTCodec
import NIOCore

/// What is spoken in a WebSocket.
package enum Subprotocol: String, CaseIterable, Sendable {
    /// [MQTT-6.0.0-3]
    case mqtt
    /// What old clients say; it means the same bytes.
    case mqtt31 = "mqttv3.1"
    /// One JSON object a message, for pages that have no MQTT library.
    case json = "sluice.json"
}

extension Gateway {
    /// Bytes of other packets that may share a message with one of Maximum Packet Size.
    private static let sizeOfOthers = 64 * 1_024

    /// A client that may leave the subprotocol out is taken for one of MQTT (MQTT 5.0 §6).
    var webSockets: WebSocketHandshake? { handshake }

    var handshake: WebSocketHandshake {
        WebSocketHandshake(
            path: configuration.websocketPath,
            subprotocols: Subprotocol.allCases.map(\.rawValue),
            requiresSubprotocol: configuration.requiresSubprotocol,
            name: "MQTT over WebSocket"
        )
    }

    /// MQTT, or `sluice.json`.
    func open(_ webSocket: OpenedWebSocket) throws {
        let channel = webSocket.channel
        let operations = channel.pipeline.syncOperations
        let (address, transportIdentity) = (webSocket.address, webSocket.transportIdentity)
        var rules = WebSocketCodec.Rules(maximumMessageSize: limits.maximumPacketSize + Self.sizeOfOthers)
        rules.pingInterval = configuration.pingInterval?.timeAmount
        rules.stallTimeout = configuration.server.stallTimeout.timeAmount
        guard webSocket.subprotocol.flatMap(Subprotocol.init) == .json else {
            rules.tellsPongs = configuration.pongKeepsAlive
            try operations.addHandler(WebSocketCodec(.binary, rules, messageLength: \.packetLength))
            return try configureMQTT(channel, address, transportIdentity)
        }
        try operations.addHandler(WebSocketCodec(.text, rules, account: bytes.account(of: address)))
        let encoder = encoders.encoder(of: channel.eventLoop)
        try operations.addHandler(
            JSONHandler(self, encoder, address: address, transportIdentity: transportIdentity)
        )
    }
}

extension ByteBuffer {
    /// Bytes of the first MQTT Control Packet of our own output; all if it is none.
    ///
    /// Each has a message of its own: a message of many packets is allowed [MQTT-6.0.0-2], but larger than many clients
    /// take, and some read only its first packet at once.
    package var packetLength: Int {
        (try? FixedHeader.parse(readableBytesSpan, maximumPacketSize: .max))?.packetLength ?? readableBytes
    }
}
