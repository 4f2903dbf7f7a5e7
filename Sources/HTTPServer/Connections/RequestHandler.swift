import BrokerCore
import CoreRuntime
import DequeModule
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Serves the requests of one connection, one at a time and in order (RFC 9112 §9.3.2): reads a request whole, has the
/// responder answer it, and writes the answer.
///
/// It is confined to the channel's event loop, where the tasks that make answers run, too.
final class RequestHandler: ChannelDuplexHandler, RemovableChannelHandler, @unchecked Sendable {
    // Sendable as a handle that tasks and timers carry back to the event loop, where alone they touch it.

    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPResponsePart

    enum State {
        case awaitingRequest
        /// A body is on its way.
        case receiving
        /// The responder makes the answer.
        case answering
        /// The client reads the answer.
        case writing
        case streaming(any ResponseStream)
        /// The last answer is on its way, and what the client still sends is thrown away: closing with unread bytes would
        /// take the answer with it (RFC 9112 §9.6).
        case ending
        case closed
    }

    /// Parts of later requests that are read ahead, give or take one read.
    private static let maximumWaiting = 16
    /// Bytes that a part of a later request takes, give or take.
    private static let partSize = 512
    /// Parts of later requests with which a client is cut off: the system delivers all that has come before a connection's
    /// end, whether it is asked for or not.
    private static let tooManyWaiting = 8_192

    let server: ServerContext
    let client: Client
    private(set) var context: ChannelHandlerContext?
    var state = State.awaitingRequest
    /// The request in hand; nil while its stream is written.
    var request: Request?
    /// Bytes of its body at most.
    private var maximumBody = 0
    var body = ByteBuffer()
    /// Whether all of it has come.
    var isRequestOver = true
    /// Whether the connection ends with the answer in hand.
    var isLast = false
    /// Whether the last answer has left.
    var isAnswerWritten = false
    /// Bytes of the body that the responder makes the answer with.
    private var bodyInHand = 0
    /// Of the answer in hand, what is not written.
    var outgoing = ByteBuffer()
    /// Bytes of a stream that its client has not read.
    var unread = 0
    /// Bytes thrown away.
    var discarded = 0
    /// Of what is going on, the end.
    var deadline: Scheduled<Void>?
    private var waiting: Deque<HTTPRequestPart> = []
    /// What is kept for the client, once it is more than a little.
    private var account: ConnectionBytes.Account?
    private var isProceeding = false
    private var isFlushWanted = false
    private var isReadWanted = false
    /// Whether nothing more comes, or nothing that can be read; requests that came before are answered.
    private var isInputOver = false
    /// Requests begun.
    private var count = 0

    init(_ server: ServerContext, _ client: Client) {
        self.server = server
        self.client = client
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard waiting.count < Self.tooManyWaiting else { return close() }
        waiting.append(unwrapInboundIn(data))
        proceed()
        if waiting.count > Self.maximumWaiting, keep() != nil { close() }
    }

    /// Counts what is kept for the client.
    ///
    /// - Returns: why it is too much.
    func keep() -> Refusal? {
        let bytes =
            body.storageCapacity + bodyInHand + outgoing.storageCapacity + unread + waiting.count * Self.partSize
        guard bytes > ConnectionBytes.free || account != nil else { return nil }
        let account = account ?? server.bytes.account(of: client.address(forwarded: []))
        self.account = bytes > ConnectionBytes.free ? account : nil
        return account.hold(bytes).map { .tooManyBytes($0) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        limitBody()
        context.fireChannelReadComplete()
    }

    /// A body that is not there at once has so much time.
    func limitBody() {
        guard case .receiving = state, deadline == nil else { return }
        limit(server.configuration.bodyTimeout.timeAmount) { $0.refuse(.bodyTimeout) }
    }

    func read(context: ChannelHandlerContext) {
        guard waiting.count < Self.maximumWaiting else {
            isReadWanted = true
            return
        }
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            switch state {
            case .writing: writeOutgoing()
            case .streaming(let stream):
                unread = 0
                _ = keep()
                stream.proceed()
            default: break
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed: inputEnded()
        case is ChannelShouldQuiesceEvent:
            isLast = true
            if case .awaitingRequest = state { closeAfterAnswers() }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError || error is Refusal else { return context.close(promise: nil) }
        inputEnded()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    /// Takes what has come, as far as the answer in hand lets it.
    func proceed() {
        guard !isProceeding else { return }
        isProceeding = true
        while takesInput, let part = waiting.popFirst() { take(part) }
        isProceeding = false
        if isFlushWanted {
            isFlushWanted = false
            context?.flush()
        }
        if isInputOver, case .awaitingRequest = state { return closeAfterAnswers() }
        guard isReadWanted, waiting.count < Self.maximumWaiting, let context else { return }
        isReadWanted = false
        context.read()
    }

    private var takesInput: Bool {
        switch state {
        case .awaitingRequest, .receiving, .ending, .closed: true
        case .answering, .writing, .streaming: false
        }
    }

    private func take(_ part: HTTPRequestPart) {
        switch (state, part) {
        case (.awaitingRequest, .head(let head)): begin(head)
        case (.receiving, .body(let bytes)): receive(bytes)
        case (.receiving, .end):
            isRequestOver = true
            answer()
        case (.ending, .body(let bytes)): discard(bytes)
        case (.ending, .end):
            isRequestOver = true
            closeAtEnd()
        // The end of a request without a body, which is answered by then, and what nobody wants any more.
        default: break
        }
    }

    private func begin(_ head: HTTPRequest) {
        let request = Request(head, client)
        self.request = request
        count += 1
        isRequestOver = !head.hasBody
        if let refusal = client.presence.refusal(ofRequest: count) { return refuse(refusal) }
        guard head.method != .connect else { return refuse(Refusal(.notImplemented, "this is no proxy")) }
        switch server.responder.admit(request) {
        case .refused(let response): refuse(with: response)
        case .served(let maximumBody):
            guard head.hasBody, let maximumBody else { return answer() }
            guard !head.announcesMore(than: maximumBody) else { return refuse(.bodyTooLarge(maximum: maximumBody)) }
            self.maximumBody = maximumBody
            state = .receiving
            // curl waits a second for it before it sends a large body (RFC 9110 §10.1.1).
            if head.headerFields[.expect]?.lowercased() == "100-continue" {
                context?.write(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
                flush()
            }
        }
    }

    private func receive(_ bytes: ByteBuffer) {
        guard body.readableBytes + bytes.readableBytes <= maximumBody else {
            return refuse(.bodyTooLarge(maximum: maximumBody))
        }
        if body.readableBytes == 0 { body = bytes } else { body.writeImmutableBuffer(bytes) }
        if let refusal = keep() { refuse(refusal) }
    }

    /// Nothing more comes, or nothing that can be read.
    private func inputEnded() {
        isInputOver = true
        switch state {
        case .awaitingRequest: closeAfterAnswers()
        case .receiving:
            isRequestOver = true
            isLast = true
            refuse(.bodyIncomplete)
        case .streaming: close()
        case .ending:
            isRequestOver = true
            closeAtEnd()
        // Answers are still wanted: half of the connection is open.
        case .answering, .writing, .closed: break
        }
    }

    // MARK: The answer

    func refuse(_ refusal: Refusal) {
        refuse(with: server.responder.response(to: refusal, isHead: request?.method == .head))
    }

    private func refuse(with response: Response) {
        state = .answering
        body = ByteBuffer()
        write(response)
    }

    private func answer() {
        guard let request else { return }
        state = .answering
        unlimit()
        let (responder, body) = (server.responder, body)
        bodyInHand = body.storageCapacity
        self.body = ByteBuffer()
        Task.immediate(executorPreference: client.executor) {
            self.write(await responder.answer(request, body))
        }
    }

    // MARK: Time

    /// Sets what happens when the client takes too long.
    func limit(_ time: TimeAmount, _ action: @escaping @Sendable (RequestHandler) -> Void) {
        unlimit()
        deadline = context?.eventLoop.scheduleTask(in: time) { action(self) }
    }

    func unlimit() {
        deadline?.cancel()
        deadline = nil
    }

    func flush() {
        if isProceeding { isFlushWanted = true } else { context?.flush() }
    }

    /// Nothing more is said or heard.
    private func end() {
        if case .streaming(let stream) = state { stream.end() }
        state = .closed
        unlimit()
        waiting = []
        body = ByteBuffer()
        outgoing = ByteBuffer()
        account = nil
        context = nil
    }

    /// The answer is made: the body it was made with is not needed any more.
    func forgetBody() {
        body = ByteBuffer()
        bodyInHand = 0
    }
}
