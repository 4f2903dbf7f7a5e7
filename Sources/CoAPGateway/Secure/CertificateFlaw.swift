import CGnuTLS

/// Why a peer's certificate is not taken: what the log says of it, and what the peer is told.
struct CertificateFlaw {
    let words: String
    let alert: gnutls_alert_description_t

    /// What may be wrong, in the order in which it is told.
    private static let known: [(flag: gnutls_certificate_status_t, flaw: CertificateFlaw)] = [
        (
            GNUTLS_CERT_SIGNER_NOT_FOUND,
            CertificateFlaw(words: "is not of an authority in client_ca", alert: GNUTLS_A_UNKNOWN_CA)
        ),
        (GNUTLS_CERT_EXPIRED, CertificateFlaw(words: "has expired", alert: GNUTLS_A_CERTIFICATE_EXPIRED)),
        (GNUTLS_CERT_NOT_ACTIVATED, CertificateFlaw(words: "is not valid yet", alert: GNUTLS_A_CERTIFICATE_EXPIRED)),
        (
            GNUTLS_CERT_PURPOSE_MISMATCH,
            CertificateFlaw(
                words: "is not for clients (Extended Key Usage)",
                alert: GNUTLS_A_UNSUPPORTED_CERTIFICATE
            )
        ),
        (
            GNUTLS_CERT_INSECURE_ALGORITHM,
            CertificateFlaw(words: "has an algorithm that is not safe", alert: GNUTLS_A_BAD_CERTIFICATE)
        ),
        (
            GNUTLS_CERT_SIGNER_NOT_CA,
            CertificateFlaw(words: "is signed by one that is no authority", alert: GNUTLS_A_BAD_CERTIFICATE)
        ),
        (
            GNUTLS_CERT_SIGNATURE_FAILURE,
            CertificateFlaw(words: "has a wrong signature", alert: GNUTLS_A_BAD_CERTIFICATE)
        ),
    ]

    /// - Parameter status: of GnuTLS's flags those that are set.
    static func of(_ status: UInt32) -> CertificateFlaw {
        known.first { status & $0.flag.rawValue != 0 }?.flaw
            ?? CertificateFlaw(words: "can't be verified", alert: GNUTLS_A_BAD_CERTIFICATE)
    }

    /// It has not the name that is asked for.
    static func nameless(_ identity: CoAPSecurity.CertificateIdentity) -> CertificateFlaw {
        let name = identity == .commonName ? "Common Name" : "Subject Alternative Name"
        return CertificateFlaw(words: "has no \(name)", alert: GNUTLS_A_BAD_CERTIFICATE)
    }
}
