import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

/// Answers requests: finds the route, and does what it says.
final class Gateway: Responder {
    let configuration: HTTPListener.Configuration
    let core: CoreLoop
    let limits: Limits
    /// What connections keep.
    let bytes: ConnectionBytes
    let polls: Polls
    let tokens: AccessTokens
    let idempotencyKeys: IdempotencyKeys
    let files: StaticFiles
    let events: EventLog
    let pages: OwnPages
    let encoders = LoopEncoders()
    let configureMQTT: HTTPListener.ConfigureMQTT

    init(
        configuration: HTTPListener.Configuration,
        core: CoreLoop,
        limits: Limits,
        bytes: ConnectionBytes,
        refusals: Refusals,
        configureMQTT: @escaping HTTPListener.ConfigureMQTT,
        events: EventLog = .silent
    ) {
        self.configureMQTT = configureMQTT
        self.events = events
        self.bytes = bytes
        self.configuration = configuration
        self.core = core
        self.limits = limits
        polls = Polls(
            timeout: configuration.pollTimeout.timeAmount,
            // Each is a connection to the broker: other clients of the same address have theirs, too.
            Quota.Limit(total: limits.connections / 2, perAddress: max(limits.connections / 4, 1)),
            refusals: refusals
        )
        tokens = AccessTokens(
            Quota.Limit(total: configuration.maximumTokens),
            bytes: Quota.Limit(total: configuration.maximumTokenBytes),
            refusals: refusals
        )
        idempotencyKeys = IdempotencyKeys(
            window: configuration.idempotencyWindow.timeAmount,
            Quota.Limit(total: configuration.maximumIdempotencyKeys),
            bytes: Quota.Limit(total: configuration.maximumIdempotencyBytes)
        )
        let ticket = "page=\(Token.random())"
        var pages = OwnPages()
        pages.isFile = { StaticFile(path: $0) != nil }
        pages.ticket = ticket
        pages.exposedFields = Preflight.exposedFields
        self.pages = pages
        files = StaticFiles(websocketPath: configuration.websocketPath, ticket: ticket)
    }

    func admit(_ request: Request) -> Admission {
        do throws(Problem) {
            return .served(maximumBody: try maximumBody(request))
        } catch {
            return .refused(Response(error, isHead: request.method == .head))
        }
    }

    /// Bytes of a request's body at most; nil when it is not read.
    ///
    /// - Throws: why the request is not served.
    private func maximumBody(_ request: Request) throws(Problem) -> Int? {
        let method = request.method
        // The methods of a path are listed whether something is there or not.
        guard method != .options else { return nil }
        guard let route = route(request.target.path) else { throw .notFound("nothing is at \(request.target.path)") }
        guard route.methods.contains(method.rawValue) else { throw .methodNotAllowed(route.methods) }
        guard request.hasBody, method == .post || method == .put else { return nil }
        if let coding = request.head.headerFields[.contentEncoding], coding.lowercased() != "identity" {
            throw Problem(
                .unsupportedMediaType,
                .payloadFormatInvalid,
                "MQTT can't say that a payload is compressed: send it as it is",
                headers: [.acceptEncoding: "identity"]
            )
        }
        return limits.maximumPacketSize
    }

    func answer(_ request: Request, _ body: ByteBuffer) async -> Response {
        let head = request.head
        let route = route(request.target.path)
        do throws(Problem) {
            guard head.method != .options, let route else { return Preflight.response(to: head, route) }
            let exchange = Exchange(
                method: head.method,
                target: head.path ?? "",
                fields: head.headerFields,
                query: try Query(request.target.query),
                client: request.client,
                takesTokenInQuery: route == .subscribe
            )
            if let parameters = route.parameters(head.method) {
                try exchange.query.check(parameters)
                try head.headerFields.checkMQTTFields()
            }
            return try await answer(exchange, route, body)
        } catch {
            return Response(error, isHead: head.method == .head)
        }
    }

    func response(to refusal: Refusal, isHead: Bool) -> Response { Response(Problem(refusal), isHead: isHead) }

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
        case .webSocket: throw Problem(handshake.upgradeRequired)
        }
    }
}
