import BrokerCore
import HTTPServer
import HTTPTypes
import MQTTCodec
import NIOCore

extension Gateway {
    /// Does what a request asks for once for each Idempotency-Key; a repeat gets the first answer, if it is by the same user.
    func once(
        _ exchange: Exchange,
        _ body: ByteBuffer,
        _ publish: () async throws(Problem) -> PublishAnswer
    ) async throws(Problem) -> Response {
        guard let field = exchange.fields.values(of: .idempotencyKey).first else {
            return try await publish().response
        }
        let name = try Self.idempotencyKey(field)
        let identity = try exchange.identity(tokens)
        let userName = try await core.transact(as: identity) { _, connection in connection.userName }
        let owner = identity.owner(userName)
        let holder = Holder(network: identity.address.network, userName: userName)
        let key = IdempotencyKeys.Key(owner: owner, clientID: identity.clientID, key: name)
        switch idempotencyKeys.begin(key, fingerprint: exchange.fingerprint(body), for: holder, at: .now()) {
        case .proceed: break
        case .answered(let first):
            return PublishAnswer(first).response.with("Idempotency-Replayed", "true")
        case .inProgress:
            throw Problem(
                .conflict,
                .packetIdentifierInUse,
                "a request with this Idempotency-Key is being served",
                headers: [.retryAfter: "1"]
            )
        case .reused:
            throw .unprocessable("the Idempotency-Key was used for another request", .packetIdentifierInUse)
        }
        do throws(Problem) {
            let answer = try await publish()
            idempotencyKeys.finish(key, answer.remembered)
            return answer.response
        } catch {
            idempotencyKeys.finish(key, nil)
            throw error
        }
    }

    static let idempotencyField = "Idempotency-Key"
    private static let maximumKeyLength = 255

    /// With quotation marks, as a structured field (RFC 9651) has them, or without, as most clients send it.
    private static func idempotencyKey(_ field: String) throws(Problem) -> String {
        var key = field.utf8[...]
        let mark = UInt8(ascii: "\"")
        if key.count > 1, key.first == mark, key.last == mark { key = key.dropFirst().dropLast() }
        guard !key.isEmpty, key.count <= maximumKeyLength else {
            throw .badRequest("\(idempotencyField) must have 1 to \(maximumKeyLength) bytes")
        }
        // Two of them would be the same.
        guard !field.isRepaired else { throw .badRequest("\(idempotencyField) is not UTF-8") }
        return String(Substring(key))
    }
}

/// The answer to a publish, before it is a response, which can be written only once.
struct PublishAnswer {
    let status: HTTPResponse.Status
    var fields: HTTPFields
    let body: ByteBuffer

    init(_ status: HTTPResponse.Status, _ fields: HTTPFields = [:], _ body: ByteBuffer = ByteBuffer()) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    init(_ remembered: IdempotencyKeys.Answer) {
        self.init(remembered.status, remembered.fields, remembered.body)
    }

    var remembered: IdempotencyKeys.Answer { .init(status: status, fields: fields, body: body) }

    var response: Response { Response(status: status, headers: fields, body: body) }
}

extension Exchange {
    /// Tells requests apart that say different things.
    fileprivate func fingerprint(_ body: ByteBuffer) -> UInt64 {
        var hash = EntityTag.Hash()
        for part in [method.rawValue, target, fields[.contentType] ?? ""] {
            hash.combine(part.utf8Span.span.bytes)
            hash.combine("\n".utf8Span.span.bytes)
        }
        hash.combine(body.readableBytesSpan)
        return hash.value
    }
}
