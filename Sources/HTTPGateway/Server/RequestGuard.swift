import HTTPTypes
import NIOCore
import NIOHTTP1

/// Stands behind the HTTP decoder of a connection and watches over what the layers above can't see.
///
/// - A client that sends no request, or takes too long over the header of one, is closed, and so is one that reads
///   nothing of what there is for it.
/// - A malformed request is answered before the connection closes.
/// - Of the tries to upgrade only those pass that will succeed: the decoder reads nothing after one, and the upgrade
///   handler loses the head of a request it does not upgrade. All others go on as plain requests, the last ones of
///   their connection.
/// - A client that leaves is noticed at once, not at the next write.
final class RequestGuard: ChannelDuplexHandler, RemovableChannelHandler, @unchecked Sendable {
    // Sendable as a handle that its timer carries back to the event loop, where alone it is touched.

    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let presence: ClientPresence
    private let handshake: WebSocketHandshake
    private let undecoded: UndecodedBytes
    private let headerTimeout: TimeAmount
    private let stallTimeout: TimeAmount
    private var timeout: Scheduled<Void>?
    /// When the header of the next request has to be complete.
    private var headerDeadline = NIODeadline.distantFuture
    private var stall: Scheduled<Void>?
    /// Requests begun.
    private var count = 0
    /// Whether the client speaks HTTP/1.0, and whether it keeps connections.
    private var isOldClient = false
    private var keepsConnection = false
    /// Requests begun and not yet wholly answered.
    private var requestsInProgress = 0

    /// - Parameters:
    ///   - headerTimeout: from the end of a response, or the connection's beginning, to the end of the next header.
    ///   - stallTimeout: how long a client may read nothing.
    init(
        presence: ClientPresence,
        handshake: WebSocketHandshake,
        undecoded: UndecodedBytes,
        headerTimeout: TimeAmount,
        stallTimeout: TimeAmount
    ) {
        self.presence = presence
        self.handshake = handshake
        self.undecoded = undecoded
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
            guard self.requestsInProgress == 0 else { return }
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
        guard case .head(var head) = part else { return context.fireChannelRead(data) }
        requestsInProgress += 1
        count += 1
        // What is above knows only this spelling, and no HTTP/1.0.
        if !head.isKeepAlive { head.headers.replaceOrAdd(name: "Connection", value: "close") }
        isOldClient = head.version == .http1_0
        keepsConnection = head.isKeepAlive
        if isOldClient {
            // RFC 9110 §10.1.1: it can't know what 100 is.
            head.headers.remove(name: "Expect")
        } else if head.headers["Host"].count != 1 {
            presence.refuse(request: count, .hostMissing)
            head.headers.replaceOrAdd(name: "Connection", value: "close")
        }
        if head.headers.contains(name: "Upgrade"), !mayUpgrade(head) {
            head.headers.remove(name: "Upgrade")
            head.headers.replaceOrAdd(name: "Connection", value: "close")
        }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head) where isOldClient:
            return context.write(wrapOutboundOut(.head(inOldWords(head))), promise: promise)
        case .end:
            requestsInProgress -= 1
            if requestsInProgress == 0 { awaitHeader(context) }
        default: break
        }
        context.write(data, promise: promise)
    }

    /// For a client of HTTP/1.0, which knows no chunks (RFC 9112 §6.1) and keeps a connection only if told so.
    private func inOldWords(_ head: HTTPResponseHead) -> HTTPResponseHead {
        var head = head
        head.version = .http1_0
        if keepsConnection, !head.headers.contains(name: "Connection") {
            head.headers.add(name: "Connection", value: "keep-alive")
        }
        return head
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard requestsInProgress == 0 else { return context.fireErrorCaught(error) }
        switch error {
        case HTTPParserError.invalidEOFState: context.close(promise: nil)
        case let error as HTTPParserError: refuse(Problem(error), context)
        case let problem as Problem: refuse(problem, context)
        default: context.fireErrorCaught(error)
        }
    }

    /// Answers what is no request, or no whole one, and closes.
    private func refuse(_ problem: Problem, _ context: ChannelHandlerContext) {
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
        requestsInProgress += 1
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

    private func mayUpgrade(_ head: HTTPRequestHead) -> Bool {
        guard handshake.isWebSocket(target: head.uri) else { return false }
        switch handshake.decide(head) {
        case .failure(let problem):
            presence.refuse(request: count, problem)
            return false
        case .success:
            guard count > 1 else { return true }
            presence.refuse(request: count, .upgradeTooLate)
            return false
        }
    }
}
