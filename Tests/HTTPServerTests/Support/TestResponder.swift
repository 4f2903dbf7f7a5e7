import BrokerCore
import HTTPServer
import HTTPTypes
import NIOConcurrencyHelpers
import NIOCore

/// A small application: values in memory, a health check, a page, a stream, and WebSockets that say again what they hear.
final class TestResponder: Responder {
    private static let methods = ["GET", "HEAD", "PUT", "POST", "DELETE"]

    let pages: OwnPages
    let webSockets: WebSocketHandshake?
    private let maximumBody: Int
    private let values = NIOLockedValueBox<[String: ByteBuffer]>([:])
    private let streams = NIOLockedValueBox<[TestStream]>([])

    init(maximumBody: Int = 1_048_576, hasWebSockets: Bool = true) {
        self.maximumBody = maximumBody
        var pages = OwnPages()
        pages.isFile = { $0 == "/page" }
        pages.ticket = "ticket=1"
        pages.exposedFields = "ETag"
        self.pages = pages
        webSockets = hasWebSockets ? WebSocketHandshake(path: "/socket", subprotocols: ["echo", "shout"]) : nil
    }

    func admit(_ request: Request) -> Admission {
        guard Self.methods.contains(request.method.rawValue) else {
            return .refused(Response(status: .methodNotAllowed, headers: [.allow: "GET"]))
        }
        guard request.target.path != "/nothing/admitted" else {
            return .refused(response(to: Refusal(.notFound, "nothing is at this path"), isHead: false))
        }
        return .served(maximumBody: request.method == .put || request.method == .post ? maximumBody : nil)
    }

    func answer(_ request: Request, _ body: ByteBuffer) async -> Response {
        let isHead = request.method == .head
        let path = request.target.path
        switch path {
        case "/health", "/later":
            await later(request.client)
            return Response(status: .ok, body: ByteBuffer(string: #"{"status":"ok"}"#), isHead: isHead)
        case "/page": return Response(status: .ok, body: ByteBuffer(string: "a page"), isHead: isHead)
        case "/address":
            let forwarded = request.head.headerFields.values(of: .forwardedFor)
            let address = request.client.address(forwarded: forwarded)
            return Response(status: .ok, body: ByteBuffer(string: address.description))
        case "/stream":
            let stream = TestStream(request.client)
            streams.withLockedValue { $0.append(stream) }
            return Response(status: .ok, headers: [.connection: "close"], body: .stream(stream))
        default:
            guard path.utf8.starts(with: "/values/".utf8) else {
                return response(to: Refusal(.notFound, "nothing is at \(path)"), isHead: isHead)
            }
            return value(request, path, body, isHead: isHead)
        }
    }

    private func value(_ request: Request, _ path: String, _ body: ByteBuffer, isHead: Bool) -> Response {
        switch request.method {
        case .put, .post:
            values.withLockedValue { $0[path] = body }
            let isMinimal = request.head.headerFields.values(of: HTTPField.Name("Prefer")) == ["return=minimal"]
            return Response(status: isMinimal ? .noContent : .ok)
        case .delete:
            values.withLockedValue { $0[path] = nil }
            return Response(status: .noContent)
        default:
            guard let value = values.withLockedValue({ $0[path] }) else {
                return response(to: Refusal(.notFound, "no value is at \(path)"), isHead: isHead)
            }
            return Response(status: .ok, body: value, isHead: isHead)
        }
    }

    /// As when another thread is asked.
    private func later(_ client: Client) async {
        let eventLoop = client.channel.eventLoop
        await withCheckedContinuation { continuation in eventLoop.execute { continuation.resume() } }
    }

    func open(_ webSocket: OpenedWebSocket) throws {
        let rules = WebSocketCodec.Rules(maximumMessageSize: 10_000)
        let operations = webSocket.channel.pipeline.syncOperations
        try operations.addHandlers(WebSocketCodec(.text, rules), EchoHandler(isLoud: webSocket.subprotocol == "shout"))
    }

    /// Writes to all streams.
    func tellStreams(_ text: String) {
        for stream in streams.withLockedValue(\.self) { stream.tell(text) }
    }

    /// Ends all streams.
    func endStreams() {
        for stream in streams.withLockedValue(\.self) { stream.finish() }
    }

    /// Streams whose client has left, or whose end is written.
    var endedStreams: Int { streams.withLockedValue { $0.count { $0.isOver } } }
}

/// Says `open`, and what it is told.
final class TestStream: ResponseStream, @unchecked Sendable {
    // Sendable as a handle that other threads carry back to the event loop, where alone `response` is touched.

    private let client: Client
    private let over = NIOLockedValueBox(false)
    private var response: ResponseWriter?

    init(_ client: Client) { self.client = client }

    var isOver: Bool { over.withLockedValue(\.self) }

    func begin(on response: ResponseWriter) {
        self.response = response
        response.write(ByteBuffer(string: "open\n"))
        response.flush()
    }

    func proceed() {}

    func end() {
        response = nil
        over.withLockedValue { $0 = true }
    }

    func tell(_ text: String) {
        client.channel.eventLoop.execute {
            self.response?.write(ByteBuffer(string: text))
            self.response?.flush()
        }
    }

    func finish() {
        client.channel.eventLoop.execute {
            self.response?.finish()
            self.end()
        }
    }
}

private final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let isLoud: Bool

    init(isLoud: Bool) { self.isLoud = isLoud }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = String(buffer: unwrapInboundIn(data))
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: isLoud ? text.uppercased() : text)), promise: nil)
    }
}
