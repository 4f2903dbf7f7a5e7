import Glibc
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

    /// - Parameters:
    ///   - limit: requests of one connection that are answered; the next one is not looked at, and ends it.
    ///   - answer: to each request, counted from 1; nil never answers.
    static func start(
        on group: any EventLoopGroup,
        port: Int = 0,
        closingAfter limit: Int = .max,
        _ answer: @escaping @Sendable (Int, Request) -> HTTPResponseStatus?
    ) async throws -> Endpoint {
        let box = Box(answer)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(box, limit))
                }
            }
            .bind(host: "127.0.0.1", port: port)
            .get()
        return Endpoint(channel, box)
    }

    var url: String { Self.url(port) }

    private static func url(_ port: Int) -> String { "http://127.0.0.1:\(port)/hook?key=secret" }

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
        let deadline = channel.eventLoop.scheduleTask(in: .seconds(40)) { [state] in
            promise.fail(Missing(came: state.state.withLockedValue { $0.requests.count }, wanted: count))
        }
        defer { deadline.cancel() }
        return try await promise.futureResult.get()
    }

    struct Missing: Error {
        let came: Int
        let wanted: Int
    }

    /// A port that refuses connections, and that nobody else is given meanwhile.
    final class RefusingPort: Sendable {
        let number: Int
        private let descriptor: Int32

        init() throws {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            // Else none may listen on it beside this socket, which only holds the number.
            var isOn: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let failed = withUnsafeMutablePointer(to: &address) { [descriptor] in
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, length) != 0 || getsockname(descriptor, $0, &length) != 0
                }
            }
            guard !failed else { throw IOError(errnoCode: errno, reason: "bind") }
            number = Int(in_port_t(bigEndian: address.sin_port))
        }

        deinit { close(descriptor) }

        var url: String { Endpoint.url(number) }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let box: Box
        private var headers = HTTPHeaders()
        private var body = ByteBuffer()

        private let limit: Int
        private var count = 0

        init(_ box: Box, _ limit: Int) {
            self.box = box
            self.limit = limit
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard count < limit else { return context.close(promise: nil) }
            switch unwrapInboundIn(data) {
            case .head(let head):
                headers = head.headers
                body = ByteBuffer()
            case .body(let part): body.writeImmutableBuffer(part)
            case .end:
                count += 1
                answer(context)
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
