import BrokerCore
import HTTPTypes
import HummingbirdCore
import MQTTCodec
import NIOCore

extension Gateway {
    /// `GET` and `HEAD /v1/topics/{topic}`: the retained message, or 304 when the client has it already.
    func retained(_ exchange: Exchange, path: String) async throws(Problem) -> Response {
        let topic = try TopicPath.topic(path)
        let identity = try exchange.identity()
        let found = try await core.transact(as: identity) { broker, connection in
            broker.retainedMessage(of: topic, for: connection).map { message in
                message.map { RetainedValue(message: $0, maximumAge: $0.remainingExpiryInterval(at: broker.now)) }
            }
        }
        switch found {
        case .failure(let refused): throw Problem(refused.reasonCode)
        case .success(nil): throw .notFound("no message is retained for \(topic)")
        case .success(let value?):
            return value.response(
                ifNoneMatch: exchange.fields.values(of: "If-None-Match"),
                isHead: exchange.method == .head
            )
        }
    }
}

/// A retained message as an HTTP representation.
struct RetainedValue: Sendable {
    let message: Message
    /// Seconds until it expires; nil if never.
    let maximumAge: UInt32?

    func response(ifNoneMatch: [String], isHead: Bool) -> Response {
        let tag = entityTag
        var fields: HTTPFields = [.eTag: tag]
        // Without an expiry it may be replaced at any time, and asking again costs little.
        fields[.cacheControl] = maximumAge.map { "max-age=\($0)" } ?? "no-cache"
        guard !EntityTag.matches(tag, ifNoneMatch) else { return Response(status: .notModified, headers: fields) }
        fields[.contentType] = contentType
        // What clients publish must not become a page of ours.
        fields[.xContentTypeOptions] = "nosniff"
        fields[.contentSecurityPolicy] = "sandbox"
        if let name = HTTPField.Name(PublishOptions.userPropertyField) {
            for property in message.properties?.values.userProperties ?? [] {
                fields.append(HTTPField(name: name, value: "\(property.name)=\(property.value)"))
            }
        }
        guard isHead else {
            return Response(status: .ok, headers: fields, body: ResponseBody(byteBuffer: message.payload))
        }
        fields[.contentLength] = "\(message.payloadLength)"
        return Response(status: .ok, headers: fields)
    }

    private var contentType: String {
        if let contentType = message.properties?.values.contentType { return contentType }
        let isText = message.properties?.values.payloadFormatIndicator ?? false
        return isText ? "text/plain; charset=utf-8" : "application/octet-stream"
    }

    private var entityTag: String {
        var hash = EntityTag.Hash()
        message.withBytes { _, payload in hash.combine(payload) }
        hash.combine(contentType.utf8Span.span.bytes)
        return "\"\(message.payloadLength)-\(Token.hexadecimal(hash.value))\""
    }
}

/// Entity tags (RFC 9110 §8.8.3).
enum EntityTag {
    /// FNV-1a, 64 bits: the same in every process, so that a restart does not make copies stale.
    struct Hash {
        private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

        mutating func combine(_ bytes: RawSpan) {
            var hash = value
            for offset in 0..<bytes.byteCount {
                hash = (hash ^ UInt64(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))) &* 0x100_0000_01b3
            }
            value = hash
        }
    }

    /// Whether If-None-Match names it, by weak comparison (RFC 9110 §13.1.2).
    static func matches(_ tag: String, _ ifNoneMatch: [String]) -> Bool {
        ifNoneMatch.flatMap { $0.split(separator: ",") }.map(\.trimmed).contains { candidate in
            candidate == "*" || candidate == tag || candidate == "W/\(tag)"
        }
    }
}
