import BrokerCore
import HTTPTypes
import HummingbirdCore
import MQTTCodec
import NIOCore

/// Answers requests: finds the route, reads the body, writes what the route says.
final class Gateway: Sendable {
    let configuration: HTTPListener.Configuration
    let core: CoreLoop
    let limits: Limits
    let polls: Polls
    let tokens: AccessTokens
    let idempotencyKeys: IdempotencyKeys
    let files: StaticFiles
    private let origins: OriginPolicy

    init(configuration: HTTPListener.Configuration, core: CoreLoop, limits: Limits) {
        self.configuration = configuration
        self.core = core
        self.limits = limits
        polls = Polls(timeout: configuration.pollTimeout.timeAmount)
        tokens = AccessTokens(maximum: configuration.maximumTokens)
        idempotencyKeys = IdempotencyKeys(
            window: configuration.idempotencyWindow.timeAmount,
            maximum: configuration.maximumIdempotencyKeys,
            maximumBytes: configuration.maximumIdempotencyBytes
        )
        files = StaticFiles(websocketPath: configuration.websocketPath)
        origins = OriginPolicy(allowed: configuration.allowedOrigins)
    }

    /// Answers one request.
    ///
    /// - Throws: when the connection can't be used any more.
    @concurrent
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ client: Client) async throws {
        var body = BodyReader(request, channel: client.channel)
        let origin = request.headers[.origin]
        var response: Response
        do throws(Problem) {
            if let refusal = client.presence.takeRefusal() { throw refusal }
            guard origins.allows(origin) else { throw .originNotAllowed }
            let target = RequestTarget(request.head.path ?? "")
            guard let route = self.route(target.path) else {
                throw .notFound("nothing is at \(target.path)")
            }
            guard route.methods.contains(request.method.rawValue) else { throw .methodNotAllowed(route.methods) }
            if request.method == .options {
                response = Preflight.response(route)
            } else {
                let payload = try await read(&body, of: request, writer)
                let exchange = Exchange(
                    method: request.method,
                    target: request.head.path ?? "",
                    fields: request.headers,
                    query: try Query(target.query),
                    client: client,
                    takesTokenInQuery: route == .subscribe
                )
                response = try await answer(exchange, route, payload)
            }
        } catch {
            response = Response(error, isHead: request.method == .head)
        }
        origins.mark(&response.headers, origin: origin)
        response.headers[.date] = HTTPDate.now()
        guard body.isAtEnd else {
            response.headers[.connection] = "close"
            try await writer.write(response: response.head, body: response.body)
            await body.discard()
            throw ConnectionIsOver()
        }
        if request.headers[.connection] == "close" { response.headers[.connection] = "close" }
        try await writer.write(response: response.head, body: response.body)
    }

    /// The body of a request that can have one.
    @concurrent
    private func read(
        _ body: inout BodyReader,
        of request: Request,
        _ writer: borrowing ResponseWriter
    ) async throws(Problem) -> ByteBuffer {
        guard request.method == .post || request.method == .put, !body.isAtEnd else { return ByteBuffer() }
        if let coding = request.headers[.contentEncoding], coding.lowercased() != "identity" {
            throw Problem(
                .unsupportedMediaType,
                .payloadFormatInvalid,
                "MQTT can't say that a payload is compressed: send it as it is",
                headers: [.acceptEncoding: "identity"]
            )
        }
        let length = request.headers[.contentLength].flatMap { Int($0) } ?? 0
        guard length <= limits.maximumPacketSize else { throw .tooLarge(maximum: limits.maximumPacketSize) }
        // curl waits a second for it before it sends a large body (RFC 9110 §10.1.1).
        if request.headers[.expect]?.lowercased() == "100-continue" {
            try? await writer.writeInformationalHead(HTTPResponse(status: .continue))
        }
        return try await body.read(maximum: limits.maximumPacketSize, timeout: configuration.bodyTimeout.timeAmount)
    }

    private func route(_ path: String) -> Route? {
        Route(path: path, webSocketPath: configuration.websocketPath, hasLivePage: configuration.hasLivePage)
    }

    private func answer(_ exchange: Exchange, _ route: Route, _ body: ByteBuffer) async throws(Problem) -> Response {
        switch route {
        case .publish:
            try await once(exchange, body) { () throws(Problem) in try await publish(exchange, body) }
        case .topic(let path):
            switch exchange.method {
            case .get, .head: try await retained(exchange, path: path)
            case .delete:
                try await once(exchange, body) { () throws(Problem) in try await clear(exchange, path: path) }
            default:
                try await once(exchange, body) { () throws(Problem) in try await publish(exchange, path: path, body) }
            }
        case .request(let path): try await request(exchange, path: path, body)
        case .subscribe: try await subscribe(exchange)
        case .token: exchange.method == .post ? try await issueToken(exchange) : try revokeToken(exchange)
        case .health: try await health(isHead: exchange.method == .head)
        case .file(let file): try files.response(file, Preconditions(exchange.fields), isHead: exchange.method == .head)
        // A try to upgrade never comes here.
        case .webSocket: throw .upgradeRequired
        }
    }
}

/// The connection closes after what was written.
struct ConnectionIsOver: Error {}

extension Response {
    /// The same with one more field.
    func with(_ name: String, _ value: String) -> Response {
        guard let name = HTTPField.Name(name) else { return self }
        var response = self
        response.headers[name] = value
        return response
    }

    init(_ problem: Problem, isHead: Bool) {
        var fields = problem.headers
        fields[.contentType] = Problem.contentType
        fields[.cacheControl] = "no-store"
        let body = problem.json
        fields[.contentLength] = "\(body.readableBytes)"
        self.init(
            status: problem.status,
            headers: fields,
            body: isHead ? ResponseBody() : ResponseBody(byteBuffer: body)
        )
    }
}
