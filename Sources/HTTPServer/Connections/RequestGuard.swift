import DequeModule
import HTTPTypes
import NIOCore
import NIOHTTP1

/// Stands behind the HTTP decoder of a connection and watches over what the layers above can't see.
///
/// - A client that sends no request, or takes too long over the header of one, is closed, and so is one that reads
///   nothing of what there is for it.
/// - A malformed request is answered before the connection closes, and so is one that comes from where it must not.
/// - A try to become a WebSocket, at any request of the connection, waits here until what came before it is answered: the
///   decoder reads nothing after one. Those that can't succeed go on as plain requests, the last ones of their connection.
/// - A client that leaves is noticed at once, not at the next write.
final class RequestGuard: ChannelDuplexHandler, RemovableChannelHandler, @unchecked Sendable {
    // Sendable as a handle that its timer carries back to the event loop, where alone it is touched.

    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Makes the connection of a request that asks for it a WebSocket.
    typealias Upgrade = (_ request: HTTPRequestHead, _ handshake: WebSocketHandshake, _ requestGuard: RequestGuard) ->
        Void

    private let server: ServerContext
    private let client: Client
    private let undecoded: UndecodedBytes
    private let upgrade: Upgrade
    private var timeout: Scheduled<Void>?
    /// When the header of the next request has to be complete.
    private var headerDeadline = NIODeadline.distantFuture
    private var stall: Scheduled<Void>?
    /// Requests begun.
    private var count = 0
    /// Requests begun and not yet wholly answered.
    private var inProgress: Deque<Words> = []
    /// The request that makes the connection a WebSocket.
    private var upgrading: (request: HTTPRequestHead, handshake: WebSocketHandshake)?

    /// What a request's answer may say.
    private enum Words {
        case current
        /// HTTP/1.0, with the connection kept if its client wants it to be.
        case old(keepsConnection: Bool)
    }

    /// - Parameter upgrade: called once all requests before the one that asks for it are answered.
    init(_ server: ServerContext, _ client: Client, _ undecoded: UndecodedBytes, upgrade: @escaping Upgrade) {
        self.server = server
        self.client = client
        self.undecoded = undecoded
        self.upgrade = upgrade
    }

    func handlerAdded(context: ChannelHandlerContext) { awaitHeader(context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        timeout?.cancel()
        timeout = nil
        stall?.cancel()
        stall = nil
    }

    private func awaitHeader(_ context: ChannelHandlerContext) {
        headerDeadline = .now() + server.configuration.idleTimeout.timeAmount
        guard timeout == nil else { return }
        watch(context.channel)
    }

    /// One timer goes on from request to request: setting a new one for each would cost more than the request's parsing.
    private func watch(_ channel: any Channel) {
        timeout = channel.eventLoop.scheduleTask(deadline: headerDeadline) {
            self.timeout = nil
            guard self.inProgress.isEmpty else { return }
            if NIODeadline.now() < self.headerDeadline { self.watch(channel) } else { channel.close(promise: nil) }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = nil
        if !context.channel.isWritable {
            let channel = context.channel
            stall = context.eventLoop.scheduleTask(in: server.configuration.stallTimeout.timeAmount) {
                channel.close(promise: nil)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if case .body(let bytes) = part { undecoded.decoded(bytes.readableBytes) } else { undecoded.decoded(0) }
        guard upgrading == nil else {
            if case .end = part { upgradeWhenAnswered(context.channel) }
            return
        }
        guard case .head(var head) = part else { return context.fireChannelRead(data) }
        count += 1
        let refusal = refusal(of: head, context.channel)
        if let refusal {
            client.presence.refuse(request: count, refusal)
        } else if let handshake = server.webSockets, handshake.isWebSocket(target: head.uri),
            head.headers.contains(name: "Upgrade")
        {
            upgrading = (head, handshake)
            return
        }
        inProgress.append(head.version == .http1_0 ? .old(keepsConnection: head.isKeepAlive) : .current)
        // What is above knows only this spelling, and no HTTP/1.0. After a try to upgrade, to whatever, nothing is read.
        if !head.isKeepAlive || refusal != nil || head.headers.contains(name: "Upgrade") || head.method == .CONNECT {
            head.headers.replaceOrAdd(name: "Connection", value: "close")
        }
        // RFC 9110 §10.1.1: it can't know what 100 is.
        if head.version == .http1_0 { head.headers.remove(name: "Expect") }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    /// Why a request is not served, whatever it asks for.
    private func refusal(of head: HTTPRequestHead, _ channel: any Channel) -> Refusal? {
        if head.version != .http1_0, head.headers["Host"].count != 1 { return .hostMissing }
        if let refusal = server.origins.refusal(of: head, local: channel.localAddress) ?? head.framingRefusal {
            return refusal
        }
        let asked = head.headers[canonicalForm: "Upgrade"]
        guard !asked.isEmpty, let handshake = server.webSockets else { return nil }
        if handshake.isWebSocket(target: head.uri) {
            guard case .failure(let refusal) = handshake.decide(head) else { return nil }
            return refusal
        }
        return asked.contains { $0.lowercased() == "websocket" } ? .noWebSocket(at: handshake.path) : nil
    }

    private func upgradeWhenAnswered(_ channel: any Channel) {
        guard let (request, handshake) = upgrading, inProgress.isEmpty else { return }
        // Not in the midst of the decoder's turn, or of the last answer's.
        channel.eventLoop.execute { if channel.isActive { self.upgrade(request, handshake, self) } }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            guard case .old(let keepsConnection)? = inProgress.first else { break }
            return context.write(wrapOutboundOut(.head(inOldWords(head, keepsConnection))), promise: promise)
        case .end:
            inProgress.removeFirst()
            guard inProgress.isEmpty else { break }
            awaitHeader(context)
            upgradeWhenAnswered(context.channel)
        default: break
        }
        context.write(data, promise: promise)
    }

    /// For a client of HTTP/1.0, which knows no chunks (RFC 9112 §6.1) and keeps a connection only if told so.
    private func inOldWords(_ head: HTTPResponseHead, _ keepsConnection: Bool) -> HTTPResponseHead {
        var head = head
        head.version = .http1_0
        if keepsConnection, !head.headers.contains(name: "Connection") {
            head.headers.add(name: "Connection", value: "keep-alive")
        }
        return head
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard inProgress.isEmpty else { return context.fireErrorCaught(error) }
        switch error {
        case HTTPParserError.invalidEOFState: context.close(promise: nil)
        case let error as HTTPParserError: refuse(Refusal(error), context)
        case let refusal as Refusal: refuse(refusal, context)
        default: context.fireErrorCaught(error)
        }
    }

    /// Answers what is no request, or no whole one, and closes.
    private func refuse(_ refusal: Refusal, _ context: ChannelHandlerContext) {
        server.noteNoHTTP(client, refusal.detail)
        let response = server.responder.response(to: refusal, isHead: false)
        guard case .bytes(let body) = response.body else { return context.close(promise: nil) }
        let head = HTTPResponseHead(
            version: .http1_1,
            status: .init(statusCode: response.status.code),
            headers: [
                "Content-Type": response.headers[.contentType] ?? "text/plain",
                "Content-Length": "\(body.readableBytes)",
                "Connection": "close",
            ]
        )
        // Counted, so that nothing that comes after it is answered.
        inProgress.append(.current)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent where count == 0: context.close(promise: nil)
        case ChannelEvent.inputClosed: client.presence.clientLeft()
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        client.presence.clientLeft()
        context.fireChannelInactive()
    }
}

extension HTTPRequestHead {
    /// What is wrong with how the end of its body is told (RFC 9112 §6.1).
    fileprivate var framingRefusal: Refusal? {
        let codings = headers[canonicalForm: "Transfer-Encoding"]
        guard !codings.isEmpty else { return nil }
        guard version != .http1_0 else { return Refusal(.malformed, "HTTP/1.0 has no Transfer-Encoding") }
        guard codings.count == 1, codings[0].lowercased() == "chunked" else {
            return Refusal(.notImplemented, "of transfer codings only chunked is understood")
        }
        return nil
    }
}
