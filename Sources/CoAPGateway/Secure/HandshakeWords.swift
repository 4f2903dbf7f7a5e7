import CGnuTLS

/// What the log says of handshakes that come to nothing.
package enum HandshakeWords {
    package static let notProven =
        "the client has not proven that it has our key of that identity: its key is another one, or the network slow"
    package static let notSpoken = "the client speaks DTLS, which this listener does not"
    package static let tooSlow = "the client did not go on with its handshake"
    package static let nobody = "the client has not said who it is"
    package static let outdated = "the key of that identity was changed in the meantime"
    package static let notSecure = "the client speaks no DTLS, which this listener wants"
    package static let unreadable =
        "what the client sends can't be decrypted; one that does not take our certificate may end its handshake so"
    package static let unknownKey = "no pre-shared key has that identity"

    /// Why a handshake has failed.
    static func of(
        _ error: Int32,
        _ claim: PeerClaim,
        _ session: gnutls_session_t,
        _ transport: SecureTransport
    ) -> String {
        if claim.isUnknown { return unknownKey }
        if let flaw = claim.flaw { return "the client's certificate \(flaw.words)" }
        switch error {
        case GNUTLS_E_FATAL_ALERT_RECEIVED: return of(alert: gnutls_alert_get(session), claim)
        case GNUTLS_E_NO_CIPHER_SUITES, GNUTLS_E_INSUFFICIENT_CREDENTIALS, GNUTLS_E_NO_COMMON_KEY_SHARE,
            GNUTLS_E_INSUFFICIENT_SECURITY:
            return "no cipher suite in common"
        case GNUTLS_E_UNSUPPORTED_VERSION_PACKET: return "the client speaks no version that is served"
        case GNUTLS_E_NO_CERTIFICATE_FOUND, GNUTLS_E_CERTIFICATE_REQUIRED:
            return "the client has shown no certificate"
        case GNUTLS_E_UNEXPECTED_PACKET_LENGTH where transport == .connections,
            GNUTLS_E_UNEXPECTED_PACKET where transport == .connections:
            return "what the client sends is no TLS"
        // In TLS 1.3 what it refuses us with is often in the clear, where nothing is any more (RFC 8446 §5).
        case GNUTLS_E_DECRYPTION_FAILED where transport == .connections && claim.key == nil: return unreadable
        case GNUTLS_E_NO_APPLICATION_PROTOCOL: return "the client wants to speak something else than CoAP (ALPN)"
        default: break
        }
        // What a wrong key has encrypted can't be read, nor a proof with it (RFC 4279 §2, RFC 8446 §4.2.11.2).
        if claim.key != nil { return notProven }
        return "\(String(cString: gnutls_strerror(error)))"
    }

    private static func of(alert: gnutls_alert_description_t, _ claim: PeerClaim) -> String {
        switch alert {
        case GNUTLS_A_UNKNOWN_CA, GNUTLS_A_BAD_CERTIFICATE, GNUTLS_A_CERTIFICATE_EXPIRED,
            GNUTLS_A_CERTIFICATE_UNKNOWN, GNUTLS_A_UNSUPPORTED_CERTIFICATE:
            return "the client does not take our certificate: \(name(alert))"
        case GNUTLS_A_BAD_RECORD_MAC where claim.key != nil, GNUTLS_A_DECRYPT_ERROR where claim.key != nil:
            return notProven
        default: return "the client has given up: \(name(alert))"
        }
    }

    private static func name(_ alert: gnutls_alert_description_t) -> String {
        gnutls_alert_get_name(alert).map { String(cString: $0) } ?? "alert \(alert.rawValue)"
    }
}
