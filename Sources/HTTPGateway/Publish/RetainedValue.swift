import BrokerCore
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

/// A retained message as an HTTP representation.
struct RetainedValue: Sendable {
    let message: Message
    /// Seconds until it expires; nil if never.
    let maximumAge: UInt32?

    func response(_ preconditions: Preconditions, isHead: Bool) throws(Problem) -> Response {
        let tag = entityTag
        var fields: HTTPFields = [.eTag: tag]
        // Without an expiry it may be replaced at any time, and asking again costs little.
        fields[.cacheControl] = maximumAge.map { "max-age=\($0)" } ?? "no-cache"
        switch preconditions.verdict(tag, isRead: true) {
        case .failed: throw .preconditionFailed
        case .notModified: return Response(status: .notModified, headers: fields)
        case .proceed: break
        }
        fields[.contentType] = contentType
        // What clients publish must not become a page of ours.
        fields[.xContentTypeOptions] = "nosniff"
        fields[.contentSecurityPolicy] = "sandbox"
        fields.append(userPropertiesOf: message)
        return Response(status: .ok, headers: fields, body: message.payload, isHead: isHead)
    }

    private var contentType: String { message.contentType }

    /// Of payload and Content Type.
    var entityTag: String {
        message.withBytes { _, payload in Self.entityTag(payload, contentType: contentType) }
    }

    private static func entityTag(_ payload: RawSpan, contentType: String) -> String {
        var hash = EntityTag.Hash()
        hash.combine(payload)
        hash.combine(contentType.utf8Span.span.bytes)
        return "\"\(payload.byteCount)-\(Token.hexadecimal(hash.value))\""
    }
}
