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
    typealias Upgrade = (_ request: HTTPRequestHead, _ channel: any Channel, _ requestGuard: RequestGuard) -> Void

    private let presence: ClientPresence
    private let origins: OriginPolicy
    private let handshake: WebSocketHandshake
    private let upgrade: Upgrade
    private let undecoded: UndecodedBytes
    private let onMalformed: (Problem) -> Void
    private let headerTimeout: TimeAmount
    private let stallTimeout: TimeAmount
    private var timeout: Scheduled<Void>?
    /// When the header of the next request has to be complete.
    private var headerDeadline = NIODeadline.distantFuture
    private var stall: Scheduled<Void>?
    /// Requests begun.
    private var count = 0
    /// Requests begun and not yet wholly answered.
    private var inProgress: Deque<Words> = []
    /// The request that makes the connection a WebSocket.
    private var upgrading: HTTPRequestHead?

    /// What a request's answer may say.
    private enum Words {
        case current
        /// HTTP/1.0, with the connection kept if its client wants it to be.
        case old(keepsConnection: Bool)
    }

    /// - Parameters:
    ///   - upgrade: called once all requests before the one that asks for it are answered.
    ///   - onMalformed: told of what is no request, or no whole one.
    ///   - headerTimeout: from the end of a response, or the connection's beginning, to the end of the next header.
    ///   - stallTimeout: how long a client may read nothing.
    init(
        presence: ClientPresence,
        origins: OriginPolicy,
        handshake: WebSocketHandshake,
        upgrade: @escaping Upgrade,
        undecoded: UndecodedBytes,
        onMalformed: @escaping (Problem) -> Void,
        headerTimeout: TimeAmount,
        stallTimeout: TimeAmount
    ) {
        self.presence = presence
        self.origins = origins
        self.handshake = handshake
        self.upgrade = upgrade
        self.undecoded = undecoded
        self.onMalformed = onMalformed
        self.headerTimeout = headerTimeout
        self.stallTimeout = stallTimeout
    }

    func handlerAdded(context: ChannelHandlerContext) { awaitHeader(context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        timeout?.cancel()
        timeout = nil
        stall?.cancel()
        stall = nil
    }

    private func awaitHeader(_ context: ChannelHandlerContext) {
        headerDeadline = .now() + headerTimeout
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
            stall = context.eventLoop.scheduleTask(in: stallTimeout) { channel.close(promise: nil) }
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
        let problem = refusal(of: head, context.channel)
        if let problem {
            presence.refuse(request: count, problem)
        } else if handshake.isWebSocket(target: head.uri), head.headers.contains(name: "Upgrade") {
            upgrading = head
            return
        }
        inProgress.append(head.version == .http1_0 ? .old(keepsConnection: head.isKeepAlive) : .current)
        // What is above knows only this spelling, and no HTTP/1.0. After a try to upgrade, to whatever, nothing is read.
        if !head.isKeepAlive || problem != nil || head.headers.contains(name: "Upgrade") || head.method == .CONNECT {
            head.headers.replaceOrAdd(name: "Connection", value: "close")
        }
        // RFC 9110 §10.1.1: it can't know what 100 is.
        if head.version == .http1_0 { head.headers.remove(name: "Expect") }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    /// Why a request is not served, whatever it asks for.
    private func refusal(of head: HTTPRequestHead, _ channel: any Channel) -> Problem? {
        if head.version != .http1_0, head.headers["Host"].count != 1 { return .hostMissing }
        if let problem = origins.refusal(of: head, local: channel.localAddress) ?? head.framingProblem {
            return problem
        }
        let asked = head.headers[canonicalForm: "Upgrade"]
        guard !asked.isEmpty else { return nil }
        if handshake.isWebSocket(target: head.uri) {
            guard case .failure(let problem) = handshake.decide(head) else { return nil }
            return problem
        }
        return asked.contains { $0.lowercased() == "websocket" } ? .noWebSocket(handshake.path) : nil
    }

    private func upgradeWhenAnswered(_ channel: any Channel) {
        guard let head = upgrading, inProgress.isEmpty else { return }
        // Not in the midst of the decoder's turn, or of the last answer's.
        channel.eventLoop.execute { if channel.isActive { self.upgrade(head, channel, self) } }
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
        case let error as HTTPParserError: refuse(Problem(error), context)
        case let problem as Problem: refuse(problem, context)
        default: context.fireErrorCaught(error)
        }
    }

    /// Answers what is no request, or no whole one, and closes.
    private func refuse(_ problem: Problem, _ context: ChannelHandlerContext) {
        onMalformed(problem)
        let body = problem.json
        let head = HTTPResponseHead(
            version: .http1_1,
            status: .init(statusCode: problem.status.code),
            headers: [
                "Content-Type": Problem.contentType,
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
        case ChannelEvent.inputClosed: presence.clientLeft()
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        presence.clientLeft()
        context.fireChannelInactive()
    }
}

extension HTTPRequestHead {
    /// What is wrong with how the end of its body is told (RFC 9112 §6.1).
    fileprivate var framingProblem: Problem? {
        let codings = headers[canonicalForm: "Transfer-Encoding"]
        guard !codings.isEmpty else { return nil }
        guard version != .http1_0 else { return .badRequest("HTTP/1.0 has no Transfer-Encoding") }
        guard codings.count == 1, codings[0].lowercased() == "chunked" else {
            return .notImplemented("of transfer codings only chunked is understood")
        }
        return nil
    }
}
