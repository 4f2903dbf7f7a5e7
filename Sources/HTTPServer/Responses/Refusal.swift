import BrokerCore
package import HTTPTypes
import NIOHTTP1

/// The reason why the server itself does not serve a request, whatever it asks for.
package struct Refusal: Error, Sendable, Equatable {
    /// What is wrong, for programs; each has one status.
    package enum Cause: Sendable {
        /// Not a request, or not a complete one.
        case malformed
        case unsupportedVersion
        case headerTooLarge
        case bodyTooLarge
        case bodyTimeout
        /// Too much is kept for the client's address.
        case tooManyBytesOfAddress
        /// Too much is kept for all clients.
        case tooManyBytes
        /// A host name that the server does not have (RFC 9110 §15.5.20).
        case misdirected
        /// A page of another origin.
        case foreignPage
        /// RFC 9110 §9.3.6, RFC 9112 §6.1.
        case notImplemented
        case notFound
        case methodNotAllowed
        case upgradeRequired
    }

    package let cause: Cause
    /// For people.
    package let detail: String
    /// What else the status asks for: Allow, Retry-After and such.
    package var headers = HTTPFields()

    package init(_ cause: Cause, _ detail: String, headers: HTTPFields = [:]) {
        self.cause = cause
        self.detail = detail
        self.headers = headers
    }

    package var status: HTTPResponse.Status {
        switch cause {
        case .malformed, .unsupportedVersion: .badRequest
        case .headerTooLarge: .requestHeaderFieldsTooLarge
        case .bodyTooLarge: .contentTooLarge
        case .bodyTimeout: .requestTimeout
        case .tooManyBytesOfAddress: .tooManyRequests
        case .tooManyBytes: .serviceUnavailable
        case .misdirected: .misdirectedRequest
        case .foreignPage: .forbidden
        case .notImplemented: .notImplemented
        case .notFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .upgradeRequired: .upgradeRequired
        }
    }
}

extension Refusal {
    /// Bytes that are no HTTP request.
    init(_ error: HTTPParserError) {
        switch error {
        case .headerOverflow: self.init(.headerTooLarge, "the header of the request is too large")
        case .invalidVersion: self.init(.unsupportedVersion, "this is HTTP/1.1")
        case .invalidURL, .invalidPath, .invalidQueryString:
            self.init(.malformed, "what is not ASCII in a path or query must be percent-encoded")
        default: self.init(.malformed, "this is not an HTTP request")
        }
    }

    /// RFC 9112 §3.2.
    static let hostMissing = Refusal(.malformed, "a request of HTTP/1.1 has one Host")

    static let bodyTimeout = Refusal(.bodyTimeout, "the body took too long to arrive")

    static let bodyIncomplete = Refusal(.malformed, "the body broke off")

    static func bodyTooLarge(maximum: Int) -> Refusal {
        Refusal(.bodyTooLarge, "a body has at most \(maximum) bytes")
    }

    /// What is kept of incomplete requests, and of answers that are not read, is at its limit.
    static func tooManyBytes(_ refusal: Quota.Refusal) -> Refusal {
        let words = "too many bytes of requests and answers are under way"
        let headers: HTTPFields = [.retryAfter: "5"]
        return refusal.isOwnShare
            ? Refusal(.tooManyBytesOfAddress, words + " from this address", headers: headers)
            : Refusal(.tooManyBytes, words, headers: headers)
    }

    static func misdirected(_ host: String) -> Refusal {
        Refusal(
            .misdirected,
            "this listener does not serve as \(host.prefix(100)): name it in the listener's hostnames if it should"
        )
    }

    static func originNotAllowed(_ origin: String, host: String?) -> Refusal {
        Refusal(
            .foreignPage,
            "pages of \(origin.prefix(100)) may not use this listener, which is \(host?.prefix(100) ?? "without a name"): "
                + "name the origin in its allowed_origins if they should"
        )
    }

    /// Fetch Metadata: an image, a link or a frame in a page of another origin.
    static let siteNotAllowed = Refusal(.foreignPage, "another site's page has made this request")
}
