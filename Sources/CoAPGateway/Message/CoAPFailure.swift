package import MQTTCodec

/// Why a request is not carried out: the response to give.
package struct CoAPFailure: Error, Sendable, Equatable {
    package var code: CoAPCode
    /// The diagnostic payload: the MQTT reason by name, and what is wrong (RFC 7252 §5.5.2).
    package var diagnostic: String
    /// Seconds after which it makes sense to try again.
    package var maxAge: UInt32?
    /// Bytes a body may have.
    package var size1: Int?

    package init(_ code: CoAPCode, _ diagnostic: String, maxAge: UInt32? = nil, size1: Int? = nil) {
        self.code = code
        self.diagnostic = diagnostic
        self.maxAge = maxAge
        self.size1 = size1
    }

    /// What the core, or the mapping in its words, refuses.
    package init(_ reason: ReasonCode, _ detail: String? = nil) {
        code = Self.code(of: reason)
        diagnostic = detail.map { "\(reason.name): \($0)" } ?? reason.name
        if code == .serviceUnavailable || code == .tooManyRequests { maxAge = Self.retryAfter }
    }

    /// A request that needs a Client Identifier has none.
    static func clientIDMissing(_ detail: String) -> CoAPFailure {
        CoAPFailure(.badRequest, "\(ReasonCode.clientIdentifierNotValid.name): \(detail)")
    }

    /// A message whose topic, in Location-Path options, fills the datagram.
    static let noRoom = CoAPFailure(.internalServerError, "the topic leaves no room for a payload")

    /// The response is more than an address may get that is not proven (RFC 9175 §2.4): its client is asked for an Echo.
    static let unproven = CoAPFailure(.unauthorized, "")

    /// Seconds a client is asked to wait before it tries again.
    static let retryAfter: UInt32 = 5

    /// The response itself.
    package var response: CoAPResponse {
        var response = CoAPResponse(code)
        response.maxAge = maxAge
        response.size1 = size1
        response.payload = .text(diagnostic)
        return response
    }

    /// The one table of Reason Codes and response codes.
    static func code(of reason: ReasonCode) -> CoAPCode {
        switch reason {
        case .malformedPacket, .protocolError, .unsupportedProtocolVersion, .topicFilterInvalid,
            .topicNameInvalid, .qosNotSupported, .sharedSubscriptionsNotSupported,
            .wildcardSubscriptionsNotSupported, .subscriptionIdentifiersNotSupported:
            .badRequest
        case .badUserNameOrPassword, .badAuthenticationMethod: .unauthorized
        // Of names that the mapping has let pass, the core refuses those whose sessions are another user's.
        case .notAuthorized, .banned, .administrativeAction, .clientIdentifierNotValid: .forbidden
        case .sessionTakenOver: .conflict
        case .packetTooLarge: .requestEntityTooLarge
        case .payloadFormatInvalid: .unsupportedContentFormat
        case .messageRateTooHigh, .quotaExceeded, .connectionRateExceeded, .receiveMaximumExceeded: .tooManyRequests
        case .retainNotSupported: .notImplemented
        case .serverUnavailable, .serverBusy, .serverShuttingDown, .useAnotherServer, .serverMoved,
            .keepAliveTimeout, .maximumConnectTime:
            .serviceUnavailable
        default: .internalServerError
        }
    }
}
