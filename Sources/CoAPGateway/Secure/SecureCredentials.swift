import CGnuTLS
import Glibc

/// What carries a listener's secure sessions.
package enum SecureTransport: Sendable {
    /// DTLS 1.2 (RFC 6347).
    case datagrams
    /// TLS 1.2 and 1.3 (RFC 8323 §4.4).
    case connections

    /// What is spoken, in GnuTLS's words: what it takes for safe, less exchanges without forward secrecy of certificates,
    /// MACs of SHA-1 and Diffie-Hellman with parameters of our own; and what constrained devices have: TLS_PSK_* and
    /// TLS_ECDHE_PSK_* (RFC 7252 §9.1.3.1), *_AES_128_CCM_8 (RFC 7925 §4), and *_AES_128_CBC_SHA256 where there is no AEAD.
    fileprivate var priorities: String {
        let versions = self == .datagrams ? "+VERS-DTLS1.2" : "+VERS-TLS1.3:+VERS-TLS1.2"
        return "NORMAL:-VERS-ALL:\(versions):-RSA:-DHE-RSA:+ECDHE-PSK:+PSK"
            + ":-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AES-128-CCM:+AES-128-CCM-8:+AES-128-CBC"
            + ":-MAC-ALL:+AEAD:+SHA256:%NO_TICKETS"
    }
}

/// What a listener's handshakes are made with, in GnuTLS's form; kept by every session for as long as it lives.
final class SecureCredentials {
    let priorities: gnutls_priority_t
    /// Nil takes no pre-shared keys.
    let preSharedKeys: gnutls_psk_server_credentials_t?
    /// Nil has no certificate.
    let certificate: CertificateCredentials?

    init(_ security: CoAPSecurity, _ transport: SecureTransport) throws(SecureContext.Failed) {
        do throws(CertificateRefused) {
            certificate = try security.certificate.map { held throws(CertificateRefused) in
                try CertificateCredentials(held.value)
            }
        } catch {
            throw SecureContext.Failed(reason: "\(error.path) \(error.words)")
        }
        var psk: gnutls_psk_server_credentials_t?
        if security.preSharedKeys != nil {
            try SecureContext.check(gnutls_psk_allocate_server_credentials(&psk))
            gnutls_psk_set_server_credentials_function2(psk) { session, identity, key in
                guard let identity, let key else { return -1 }
                let name = UnsafeBufferPointer(start: identity.pointee.data, count: Int(identity.pointee.size))
                return SecureSession.of(session)?.giveKey(of: [UInt8](name), &key.pointee) ?? -1
            }
        }
        preSharedKeys = psk
        var priorities: gnutls_priority_t?
        let result = gnutls_priority_init(&priorities, transport.priorities, nil)
        guard result == GNUTLS_E_SUCCESS, let priorities else {
            if let psk { gnutls_psk_free_server_credentials(psk) }
            throw SecureContext.Failed(result)
        }
        self.priorities = priorities
    }

    deinit {
        gnutls_priority_deinit(priorities)
        if let preSharedKeys { gnutls_psk_free_server_credentials(preSharedKeys) }
    }

    /// Gives a session what it needs.
    func equip(_ session: gnutls_session_t) throws(SecureContext.Failed) {
        try SecureContext.check(gnutls_priority_set(session, priorities))
        if let preSharedKeys {
            try SecureContext.check(
                gnutls_credentials_set(session, GNUTLS_CRD_PSK, UnsafeMutableRawPointer(preSharedKeys))
            )
        }
        guard let certificate else { return }
        try SecureContext.check(
            gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(certificate.credentials))
        )
        gnutls_certificate_server_set_request(
            session,
            certificate.asksPeers ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE
        )
        guard certificate.asksPeers else { return }
        gnutls_session_set_verify_function(session) { session in
            // What is not good ends the handshake.
            SecureSession.of(session)?.acceptsCertificate() ?? false ? 0 : -1
        }
    }
}

/// A certificate with its key, and the authorities that sign those of peers.
final class CertificateCredentials {
    let credentials: gnutls_certificate_credentials_t
    /// Whether peers have to show a certificate.
    let asksPeers: Bool

    init(_ text: CertificateText) throws(CertificateRefused) {
        asksPeers = text.clientAuthority != nil
        var made: gnutls_certificate_credentials_t?
        guard gnutls_certificate_allocate_credentials(&made) == GNUTLS_E_SUCCESS, let made else {
            throw CertificateRefused(text.files, .chain, "there is no memory for it")
        }
        credentials = made
        let result = Self.withDatum(text.chain) { chain in
            Self.withDatum(text.privateKey) { key in
                gnutls_certificate_set_x509_key_mem2(made, &chain, &key, GNUTLS_X509_FMT_PEM, nil, 0)
            }
        }
        guard result >= 0 else { throw Self.refusal(of: text, result) }
        guard let authority = text.clientAuthority else { return }
        let count = Self.withDatum(authority) { gnutls_certificate_set_x509_trust_mem(made, &$0, GNUTLS_X509_FMT_PEM) }
        guard count > 0 else {
            throw CertificateRefused(text.files, .clientAuthority, "has no certificate in PEM")
        }
    }

    deinit { gnutls_certificate_free_credentials(credentials) }

    /// Says which of the two files is to blame: the certificate is tried alone.
    private static func refusal(of text: CertificateText, _ result: Int32) -> CertificateRefused {
        if result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH {
            return CertificateRefused(text.files, .privateKey, "is not the key of the certificate \(text.files.chain)")
        }
        var count: UInt32 = 0
        var certificates: UnsafeMutablePointer<gnutls_x509_crt_t?>?
        let read = withDatum(text.chain) {
            gnutls_x509_crt_list_import2(&certificates, &count, &$0, GNUTLS_X509_FMT_PEM, 0)
        }
        guard read >= 0 else { return CertificateRefused(text.files, .chain, "is no certificate in PEM") }
        for place in 0..<Int(count) { gnutls_x509_crt_deinit(certificates?[place]) }
        free(certificates)
        return CertificateRefused(
            text.files,
            .privateKey,
            "is no private key that can be used: \(String(cString: gnutls_strerror(result)))"
        )
    }

    private static func withDatum<Result>(_ bytes: [UInt8], _ body: (inout gnutls_datum_t) -> Result) -> Result {
        bytes.withUnsafeBufferPointer { bytes in
            // GnuTLS only reads it.
            var datum = gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: bytes.baseAddress),
                size: UInt32(bytes.count)
            )
            return body(&datum)
        }
    }
}
