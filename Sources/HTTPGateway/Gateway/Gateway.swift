import BrokerCore
import CoreRuntime
import HTTPTypes
import MQTTCodec
import NIOCore

/// Answers requests: finds the route, reads the body, writes what the route says.
final class Gateway: Sendable {
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
    let origins: OriginPolicy

    init(
        configuration: HTTPListener.Configuration,
        core: CoreLoop,
        limits: Limits,
        bytes: ConnectionBytes,
        refusals: Refusals,
        events: EventLog = .silent
    ) {
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
        origins = OriginPolicy(
            allowed: configuration.allowedOrigins,
            names: HostNames(configuration.hostnames, bound: configuration.host),
            isEncrypted: configuration.tls != nil
        )
        files = StaticFiles(websocketPath: configuration.websocketPath, ticket: origins.ticket)
    }

    /// Looks at the head of a request, before its body has come.
    ///
    /// - Parameter refusal: why it is not served, if the layers below know a reason.
    /// - Throws: why it is not served.
    func admit(_ head: HTTPRequest, _ refusal: Problem?) throws(Problem) -> Admission {
        if let refusal { throw refusal }
        guard head.method != .connect else { throw .notImplemented("this is no proxy") }
        let target = RequestTarget(head.path ?? "")
        let route = self.route(target.path)
        // The methods of a path are listed whether something is there or not.
        guard head.method != .options else {
            return Admission(head: head, route: route, query: nil, takesBody: false)
        }
        guard let route else { throw .notFound("nothing is at \(target.path)") }
        guard route.methods.contains(head.method.rawValue) else { throw .methodNotAllowed(route.methods) }
        let takesBody = head.hasBody && (head.method == .post || head.method == .put)
        if takesBody { try admitBody(head.headerFields) }
        return Admission(head: head, route: route, query: target.query, takesBody: takesBody)
    }

    private func admitBody(_ fields: HTTPFields) throws(Problem) {
        if let coding = fields[.contentEncoding], coding.lowercased() != "identity" {
            throw Problem(
                .unsupportedMediaType,
                .payloadFormatInvalid,
                "MQTT can't say that a payload is compressed: send it as it is",
                headers: [.acceptEncoding: "identity"]
            )
        }
        guard let text = fields[.contentLength] else { return }
        guard let length = Int(text), length <= limits.maximumPacketSize else {
            throw .tooLarge(maximum: limits.maximumPacketSize)
        }
    }

    /// Answers one request.
    func answer(_ admission: Admission, _ body: ByteBuffer, _ client: Client) async -> Response {
        let head = admission.head
        do throws(Problem) {
            guard head.method != .options, let route = admission.route else {
                return Preflight.response(to: head, admission.route)
            }
            let exchange = Exchange(
                method: head.method,
                target: head.path ?? "",
                fields: head.headerFields,
                query: try Query(admission.query),
                client: client,
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

    /// Says what every answer says.
    func complete(_ response: inout Response, to head: HTTPRequest) {
        origins.mark(&response.headers, origin: head.headerFields[.origin])
        response.headers[.date] = HTTPDate.now()
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

/// A request that is served, by its head.
struct Admission: Sendable {
    let head: HTTPRequest
    /// nil where nothing is.
    let route: Route?
    /// Not decoded; nil when there is none.
    let query: String?
    /// Whether its body is read.
    let takesBody: Bool
}
