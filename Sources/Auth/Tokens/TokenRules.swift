import MQTTCodec

/// What a JSON Web Token must say, and which of its claims says who shows it.
package struct TokenRules: Sendable, Equatable {
    /// The claim that is the user name.
    package var userClaim = "sub"
    /// The claim that is the only Client Identifier it is good for; nil: it is good for any.
    package var clientClaim: String?
    /// Must be in `aud` (RFC 7519 §4.1.3); nil: it may be for whom it likes.
    package var audience: String?
    /// Must be `iss` (RFC 7519 §4.1.1); nil: it may be by whom it likes.
    package var issuer: String?
    /// Seconds the clock of whoever makes tokens may be wrong by.
    package var leeway = 5

    package init() {}

    /// What a token that keeps to the rules says.
    struct Verdict: Sendable, Equatable {
        let userName: String
        let clientID: String?
        /// Seconds since 1970, without the leeway; nil is never and always.
        let notBefore: Double?
        let expires: Double?
    }

    /// What claims say.
    ///
    /// - Throws: when they don't keep to the rules whatever the time.
    func verdict(_ claims: TokenClaims) throws(TokenRefused) -> Verdict {
        guard case .text(let userName)? = claims[userClaim], Self.canBeName(userName.string) else {
            throw TokenRefused("its claim \(userClaim) is no user name")
        }
        var clientID: String?
        if let clientClaim {
            guard case .text(let text)? = claims[clientClaim], Self.canBeName(text.string) else {
                throw TokenRefused("its claim \(clientClaim) is no Client Identifier")
            }
            clientID = text.string
        }
        if let issuer, claims["iss"] != .text(ExactText(issuer)) { throw TokenRefused("it is by another issuer (iss)") }
        if let audience = audience.map({ ExactText($0) }) {
            switch claims["aud"] {
            case .text(audience)?: break
            case .texts(let all)? where all.contains(audience): break
            default: throw TokenRefused("it is for another audience (aud)")
            }
        }
        guard let notBefore = Self.date(claims["nbf"]), let expires = Self.date(claims["exp"]) else {
            throw TokenRefused("its claim nbf or exp is no time")
        }
        return Verdict(
            userName: userName.string,
            clientID: clientID,
            notBefore: notBefore.value,
            expires: expires.value
        )
    }

    /// Whether it is good at a time, seconds since 1970 (RFC 7519 §4.1.4, §4.1.5).
    ///
    /// - Throws: when it is not.
    func check(_ verdict: Verdict, at time: Double) throws(TokenRefused) {
        if let notBefore = verdict.notBefore, time + Double(leeway) < notBefore {
            throw TokenRefused("it is good in \(Self.whole(notBefore - time)) s, not before")
        }
        guard let expires = verdict.expires, time >= expires + Double(leeway) else { return }
        throw TokenRefused("it expired \(Self.whole(time - expires)) s ago")
    }

    /// Seconds for an eye to read, however far away.
    private static func whole(_ seconds: Double) -> Int { Int(min(seconds.rounded(), 1e15)) }

    private struct Date { let value: Double? }

    /// NumericDate (RFC 7519 §2); nil when it is there and none.
    private static func date(_ claim: TokenClaims.Value?) -> Date? {
        switch claim {
        case nil: Date(value: nil)
        case .number(let seconds)? where seconds.isFinite: Date(value: seconds)
        default: nil
        }
    }

    /// As MQTT has it [MQTT-1.5.4-2].
    private static func canBeName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 65_535 && !text.utf8.contains(0)
    }
}
