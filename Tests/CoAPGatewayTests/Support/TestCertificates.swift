import CGnuTLS
import CoAPGateway
import Glibc
import Testing

/// Certificates made by GnuTLS as a test needs them.
struct TestCertificates {
    let authority: Authority
    let rogue: Authority

    init(authority: Authority = Authority("authority"), rogue: Authority = Authority("rogue authority")) {
        self.authority = authority
        self.rogue = rogue
    }

    /// The listener's, which asks peers for one of `authority`.
    func listener(asksPeers: Bool = true) -> CertificateText {
        let own = authority.sign("broker")
        return CertificateText(
            files: CertificateFiles(chain: "broker.pem", privateKey: "broker.key", clientAuthority: "ca.pem"),
            chain: own.certificate,
            privateKey: own.key,
            clientAuthority: asksPeers ? authority.certificate : nil
        )
    }
}

/// Signs certificates.
final class Authority {
    private let key = newKey()
    private let own: gnutls_x509_crt_t
    let certificate: [UInt8]

    init(_ name: String) {
        let own = newCertificate(name, key, days: -1...1)
        self.own = own
        gnutls_x509_crt_set_ca_status(own, 1)
        gnutls_x509_crt_set_key_usage(own, UInt32(GNUTLS_KEY_KEY_CERT_SIGN))
        gnutls_x509_crt_sign2(own, own, key, GNUTLS_DIG_SHA256, 0)
        certificate = pem { gnutls_x509_crt_export2(own, GNUTLS_X509_FMT_PEM, $0) }
    }

    deinit {
        gnutls_x509_crt_deinit(own)
        gnutls_x509_privkey_deinit(key)
    }

    /// - Parameters:
    ///   - name: its Common Name; nil has none.
    ///   - days: when it is good, from today on.
    ///   - purpose: its Extended Key Usage; nil has none.
    func sign(
        _ name: String?,
        alternativeName: String? = nil,
        days: ClosedRange<Int> = -1...1,
        purpose: String? = nil
    ) -> CertificateWithKey {
        let key = newKey()
        let certificate = newCertificate(name, key, days: days)
        defer {
            gnutls_x509_crt_deinit(certificate)
            gnutls_x509_privkey_deinit(key)
        }
        if let alternativeName {
            gnutls_x509_crt_set_subject_alt_name(
                certificate,
                GNUTLS_SAN_DNSNAME,
                alternativeName,
                UInt32(alternativeName.utf8.count),
                0
            )
        }
        if let purpose { gnutls_x509_crt_set_key_purpose_oid(certificate, purpose, 0) }
        gnutls_x509_crt_sign2(certificate, own, self.key, GNUTLS_DIG_SHA256, 0)
        return CertificateWithKey(
            certificate: pem { gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, $0) },
            key: pem { gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, $0) }
        )
    }
}

private func newKey() -> gnutls_x509_privkey_t? {
    var key: gnutls_x509_privkey_t?
    gnutls_x509_privkey_init(&key)
    let curve = UInt32(1 << 31) | UInt32(GNUTLS_ECC_CURVE_SECP256R1.rawValue)
    #expect(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, curve, 0) == 0)
    return key
}

private func newCertificate(_ name: String?, _ key: gnutls_x509_privkey_t?, days: ClosedRange<Int>) -> gnutls_x509_crt_t
{
    var made: gnutls_x509_crt_t?
    gnutls_x509_crt_init(&made)
    guard let made else { preconditionFailure("no memory") }
    gnutls_x509_crt_set_version(made, 3)
    let serial = (0..<8).map { _ in UInt8.random(in: 1...127) }
    gnutls_x509_crt_set_serial(made, serial, serial.count)
    let now = time(nil)
    gnutls_x509_crt_set_activation_time(made, now + days.lowerBound * 86_400)
    gnutls_x509_crt_set_expiration_time(made, now + days.upperBound * 86_400)
    if let name { gnutls_x509_crt_set_dn(made, "CN=\(name)", nil) }
    #expect(gnutls_x509_crt_set_key(made, key) == 0)
    return made
}

private func pem(_ export: (UnsafeMutablePointer<gnutls_datum_t>) -> Int32) -> [UInt8] {
    var datum = gnutls_datum_t()
    #expect(export(&datum) == 0)
    defer { free(datum.data) }
    return [UInt8](UnsafeBufferPointer(start: datum.data, count: Int(datum.size)))
}
