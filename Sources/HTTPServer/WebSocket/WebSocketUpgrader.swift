package import BrokerCore
import CoreRuntime
package import NIOCore
import NIOHTTP1
import NIOWebSocket
import NetworkListeners

/// Turns an HTTP connection into a WebSocket.
struct WebSocketUpgrader {
    private let handshake: WebSocketHandshake
    private let server: ServerContext
    private let client: Client
    /// Computes Sec-WebSocket-Accept; its frame handlers are not used.
    private let handshaker: NIOTypedWebSocketServerUpgrader<Void>

    init(_ handshake: WebSocketHandshake, _ server: ServerContext, _ client: Client) {
        self.handshake = handshake
        self.server = server
        self.client = client
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
    func upgrade(_ request: HTTPRequestHead, _ http: HTTPHandlers) {
        let channel = client.channel
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
                try switchProtocols(request, response, http)
            } catch {
                channel.close(promise: nil)
            }
        }
    }

    private func switchProtocols(
        _ request: HTTPRequestHead,
        _ response: HTTPResponseHead,
        _ http: HTTPHandlers
    ) throws {
        let channel = client.channel
        let operations = channel.pipeline.syncOperations
        for handler in http.above { operations.removeHandler(handler, promise: nil) }
        channel.writeAndFlush(HTTPServerResponsePart.head(response), promise: nil)
        operations.removeHandler(http.encoder, promise: nil)
        // A WebSocket has a close handshake of its own; half of a TCP connection is of no use to it.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
        let address = client.address(forwarded: request.headers["X-Forwarded-For"])
        // From now on the connection is one client's.
        guard server.places.assign(channel, to: address) else { throw ServerContext.NoPlace() }
        try server.responder.open(
            OpenedWebSocket(
                channel: channel,
                subprotocol: try handshake.decide(request).get(),
                address: address,
                transportIdentity: client.presence.transportIdentity
            )
        )
        // Bytes that came after the request, the decoder passes on as it leaves.
        for handler in http.below { operations.removeHandler(handler, promise: nil) }
    }
}

extension String? {
    fileprivate var headers: HTTPHeaders {
        map { HTTPHeaders([("Sec-WebSocket-Protocol", $0)]) } ?? HTTPHeaders()
    }
}

/// A connection that has become a WebSocket, without handlers yet.
package struct OpenedWebSocket {
    package let channel: any Channel
    /// What is spoken in it; nil when the client has offered none that is served.
    package let subprotocol: String?
    package let address: ClientAddress
    /// The user name that the client's certificate gives it; nil without one.
    package let transportIdentity: String?
}

/// The handlers of HTTP in a connection's pipeline.
struct HTTPHandlers {
    let encoder: HTTPResponseEncoder
    /// From the decoder up to the guard.
    let below: [any RemovableChannelHandler]
    /// Above the guard.
    let above: [any RemovableChannelHandler]
}
