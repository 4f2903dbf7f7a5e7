import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix

/// A web server that takes what is posted and answers as it is told.
final class Endpoint: Sendable {
    struct Request: Sendable {
        let headers: HTTPHeaders
        let body: String

        func header(_ name: String) -> String { headers.first(name: name) ?? "" }
    }

    fileprivate struct State {
        var requests: [Request] = []
        var waiting: (count: Int, promise: EventLoopPromise<[Request]>)?
    }

    let port: Int
    private let channel: any Channel
    private let state: Box

    /// Shared with the handlers.
    final class Box: Sendable {
        fileprivate let state = NIOLockedValueBox(State())
        let answer: @Sendable (_ number: Int, Request) -> HTTPResponseStatus?

        init(_ answer: @escaping @Sendable (Int, Request) -> HTTPResponseStatus?) { self.answer = answer }
    }

    private init(_ channel: any Channel, _ state: Box) {
        self.channel = channel
        self.state = state
        port = channel.localAddress?.port ?? 0
    }

    /// - Parameter answer: to each request, counted from 1; nil never answers.
    static func start(
        on group: any EventLoopGroup,
        port: Int = 0,
        _ answer: @escaping @Sendable (Int, Request) -> HTTPResponseStatus?
    ) async throws -> Endpoint {
        let box = Box(answer)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(box))
                }
            }
            .bind(host: "127.0.0.1", port: port)
            .get()
        return Endpoint(channel, box)
    }

    var url: String { "http://127.0.0.1:\(port)/hook?key=secret" }

    func stop() async throws { try await channel.close().get() }

    /// All requests, once there are so many.
    func requests(_ count: Int) async throws -> [Request] {
        let promise = channel.eventLoop.makePromise(of: [Request].self)
        let enough = state.state.withLockedValue { state -> [Request]? in
            if state.requests.count >= count { return state.requests }
            state.waiting = (count, promise)
            return nil
        }
        if let enough { promise.succeed(enough) }
        let deadline = channel.eventLoop.scheduleTask(in: .seconds(20)) { promise.fail(Missing()) }
        defer { deadline.cancel() }
        return try await promise.futureResult.get()
    }

    struct Missing: Error {}

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let box: Box
        private var headers = HTTPHeaders()
        private var body = ByteBuffer()

        init(_ box: Box) { self.box = box }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                headers = head.headers
                body = ByteBuffer()
            case .body(let part): body.writeImmutableBuffer(part)
            case .end: answer(context)
            }
        }

        private func answer(_ context: ChannelHandlerContext) {
            let request = Request(headers: headers, body: String(buffer: body))
            let (number, done) = box.state.withLockedValue { state in
                state.requests.append(request)
                guard let waiting = state.waiting, state.requests.count >= waiting.count else {
                    return (state.requests.count, (EventLoopPromise<[Request]>, [Request])?.none)
                }
                state.waiting = nil
                return (state.requests.count, (waiting.promise, state.requests))
            }
            if let status = box.answer(number, request) {
                let head = HTTPResponseHead(version: .http1_1, status: status, headers: ["Content-Length": "0"])
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
            if let (promise, requests) = done { promise.succeed(requests) }
        }
    }
}
