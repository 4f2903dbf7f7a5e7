/// A CoAP Code: three bits of class, five of detail, written `c.dd` (RFC 7252 §3, §12.1).
package struct CoAPCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ responseClass: UInt8, _ detail: UInt8) { rawValue = responseClass << 5 | detail }

    /// 0 request, 2 success, 4 client error, 5 server error.
    package var responseClass: UInt8 { rawValue >> 5 }
    /// Whether it is a 4.xx or 5.xx.
    package var isError: Bool { responseClass >= 4 }

    /// Whether it is a method, known or not.
    package var isRequest: Bool { responseClass == 0 && rawValue != 0 }
    package var isResponse: Bool { [2, 4, 5].contains(responseClass) }

    package var description: String {
        let detail = rawValue & 0x1f
        return "\(responseClass)." + (detail < 10 ? "0" : "") + "\(detail)"
    }

    /// Of a message without a request or response (RFC 7252 §4.1).
    package static let empty = CoAPCode(0, 0)

    // Methods (RFC 7252 §12.1.1, RFC 8132).
    package static let get = CoAPCode(0, 1)
    package static let post = CoAPCode(0, 2)
    package static let put = CoAPCode(0, 3)
    package static let delete = CoAPCode(0, 4)
    package static let fetch = CoAPCode(0, 5)
    package static let patch = CoAPCode(0, 6)
    package static let iPatch = CoAPCode(0, 7)

    // Responses (RFC 7252 §5.9, RFC 7959 §2.9, RFC 8132, RFC 8516).
    package static let created = CoAPCode(2, 1)
    package static let deleted = CoAPCode(2, 2)
    package static let valid = CoAPCode(2, 3)
    package static let changed = CoAPCode(2, 4)
    package static let content = CoAPCode(2, 5)
    package static let `continue` = CoAPCode(2, 31)
    package static let badRequest = CoAPCode(4, 0)
    package static let unauthorized = CoAPCode(4, 1)
    package static let badOption = CoAPCode(4, 2)
    package static let forbidden = CoAPCode(4, 3)
    package static let notFound = CoAPCode(4, 4)
    package static let methodNotAllowed = CoAPCode(4, 5)
    package static let notAcceptable = CoAPCode(4, 6)
    package static let requestEntityIncomplete = CoAPCode(4, 8)
    package static let conflict = CoAPCode(4, 9)
    package static let preconditionFailed = CoAPCode(4, 12)
    package static let requestEntityTooLarge = CoAPCode(4, 13)
    package static let unsupportedContentFormat = CoAPCode(4, 15)
    package static let unprocessableEntity = CoAPCode(4, 22)
    package static let tooManyRequests = CoAPCode(4, 29)
    package static let internalServerError = CoAPCode(5, 0)
    package static let notImplemented = CoAPCode(5, 1)
    package static let serviceUnavailable = CoAPCode(5, 3)
    package static let proxyingNotSupported = CoAPCode(5, 5)
}
