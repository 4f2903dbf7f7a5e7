import BrokerCore
import FoundationEssentials
import HTTPServer
package import HTTPTypes
import JSONMessages
package import MQTTCodec
package import NIOCore

/// Why a request was not served (RFC 9457), with the MQTT Reason Code nearest to it.
package struct Problem: Error, Sendable, Equatable {
    static let contentType = "application/problem+json"

    package let status: HTTPResponse.Status
    /// nil where MQTT has no word for it.
    package let reasonCode: ReasonCode?
    /// What is wrong with this request, for people.
    package let detail: String
    /// What else the status asks for: Allow, Retry-After and such.
    package var headers = HTTPFields()
    /// Whether it is the core's word, which has told the log already.
    private(set) var isTold = false

    init(_ status: HTTPResponse.Status, _ reasonCode: ReasonCode?, _ detail: String, headers: HTTPFields = [:]) {
        self.status = status
        self.reasonCode = reasonCode
        self.detail = detail
        self.headers = headers
    }

    /// The body.
    ///
    /// Its `type` is `about:blank`, which RFC 9457 §4.2.1 lets us leave out.
    package var json: ByteBuffer {
        JSON.encode(
            Body(
                title: status.reasonPhrase,
                status: status.code,
                detail: detail,
                reasonCode: reasonCode?.rawValue,
                reason: reasonCode?.name
            )
        )
    }

    private struct Body: Encodable {
        let title: String
        let status: Int
        let detail: String
        let reasonCode: UInt8?
        let reason: String?

        enum CodingKeys: String, CodingKey {
            case title
            case status
            case detail
            case reasonCode = "reason_code"
            case reason
        }
    }
}

extension Problem {
    /// The same, when the core has told the log of it.
    var told: Problem {
        var problem = self
        problem.isTold = true
        return problem
    }

    static func badRequest(_ detail: String, _ reasonCode: ReasonCode = .malformedPacket) -> Problem {
        Problem(.badRequest, reasonCode, detail)
    }

    static func unprocessable(_ detail: String, _ reasonCode: ReasonCode = .payloadFormatInvalid) -> Problem {
        Problem(.unprocessableContent, reasonCode, detail)
    }

    static let notJSON = badRequest("the body is not JSON")

    /// What was published or subscribed may be lost: it may be sent again.
    static var storeUnavailable: Problem {
        Problem(.serviceUnavailable, .serverUnavailable, "the store can't be written now: try again later")
    }

    static func notFound(_ detail: String) -> Problem {
        Problem(.notFound, nil, detail)
    }

    static func methodNotAllowed(_ allowed: [String]) -> Problem {
        Problem(
            .methodNotAllowed,
            nil,
            "this resource has \(allowed.joined(separator: ", "))",
            headers: [.allow: allowed.joined(separator: ", ")]
        )
    }

    static func tooManyFilters(_ maximum: Int) -> Problem {
        Problem(.contentTooLarge, .quotaExceeded, "a request has at most \(maximum) topics")
    }

    static func unauthorized(_ detail: String) -> Problem {
        Problem(
            .unauthorized,
            .badUserNameOrPassword,
            detail,
            headers: [.wwwAuthenticate: #"Basic realm="sluice", charset="UTF-8""#]
        )
    }

    /// RFC 6750 §3.1.
    static let invalidToken = Problem(
        .unauthorized,
        .badUserNameOrPassword,
        "the token is unknown, or its time is over",
        headers: [.wwwAuthenticate: #"Bearer realm="sluice", error="invalid_token""#]
    )
}

extension Problem {
    /// What the core refused.
    ///
    /// - Parameter hasCredentials: whether the client has said who it is; a stranger is asked to.
    package init(_ reasonCode: ReasonCode, hasCredentials: Bool = true, detail: String? = nil) {
        let detail =
            detail ?? (reasonCode == .serverUnavailable ? "it can't be taken now: try again later" : reasonCode.name)
        switch reasonCode {
        case .badUserNameOrPassword, .badAuthenticationMethod:
            self = Problem(.unauthorized, reasonCode, detail, headers: Problem.unauthorized("").headers)
        // Of names that the gateway has let pass, the core refuses those whose sessions are another user's.
        case .clientIdentifierNotValid: self.init(.forbidden, reasonCode, detail)
        case .notAuthorized, .banned:
            self =
                hasCredentials
                ? Problem(.forbidden, reasonCode, detail)
                : Problem(.unauthorized, reasonCode, detail, headers: Problem.unauthorized("").headers)
        case .topicNameInvalid, .topicFilterInvalid, .malformedPacket, .protocolError:
            self.init(.badRequest, reasonCode, detail)
        case .packetTooLarge: self.init(.contentTooLarge, reasonCode, detail)
        case .payloadFormatInvalid, .qosNotSupported, .retainNotSupported, .sharedSubscriptionsNotSupported,
            .wildcardSubscriptionsNotSupported, .subscriptionIdentifiersNotSupported:
            self.init(.unprocessableContent, reasonCode, detail)
        case .quotaExceeded, .messageRateTooHigh, .connectionRateExceeded, .receiveMaximumExceeded:
            self.init(.tooManyRequests, reasonCode, detail, headers: [.retryAfter: "1"])
        case .sessionTakenOver, .packetIdentifierInUse: self.init(.conflict, reasonCode, detail)
        case .serverBusy, .serverUnavailable, .serverShuttingDown, .useAnotherServer, .serverMoved:
            self.init(.serviceUnavailable, reasonCode, detail, headers: [.retryAfter: "5"])
        default: self.init(.internalServerError, reasonCode, detail)
        }
        isTold = true
    }
}

extension Problem {
    /// What the server refused, with the Reason Code nearest to it.
    init(_ refusal: Refusal) {
        let reasonCode: ReasonCode? =
            switch refusal.cause {
            case .malformed: .malformedPacket
            case .unsupportedVersion: .unsupportedProtocolVersion
            case .headerTooLarge, .bodyTooLarge: .packetTooLarge
            case .bodyTimeout: .maximumConnectTime
            case .tooManyBytesOfAddress: .quotaExceeded
            case .tooManyBytes: .serverBusy
            case .foreignPage: .notAuthorized
            case .misdirected, .notImplemented, .notFound, .methodNotAllowed, .upgradeRequired: nil
            }
        self.init(refusal.status, reasonCode, refusal.detail, headers: refusal.headers)
    }

    /// For the log.
    var refused: Response.Refused { Response.Refused(status: status, detail: detail, isTold: isTold) }
}

extension Response {
    /// The answer to a request that was not served.
    init(_ problem: Problem, isHead: Bool) {
        var fields = problem.headers
        fields[.contentType] = Problem.contentType
        fields[.cacheControl] = "no-store"
        self.init(status: problem.status, headers: fields, body: problem.json, isHead: isHead)
        refused = problem.refused
    }
}
