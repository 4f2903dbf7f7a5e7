import NIOSSL
import SwiftASN1
import X509

/// Which name of a client's certificate is its user name.
package enum CertificateIdentity: Sendable {
    /// The first Common Name of the subject.
    case commonName
    /// The first DNS name or, when there is none, URI of the Subject Alternative Name (RFC 5280 §4.2.1.6).
    case subjectAlternativeName

    /// The name in a certificate; nil when it has none that can be a user name.
    ///
    /// That the certificate is a good one, the handshake has found out.
    func name(in certificate: NIOSSLCertificate) -> String? {
        guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes) else {
            return nil
        }
        let name =
            switch self {
            case .commonName: parsed.commonName
            case .subjectAlternativeName: parsed.alternativeName
            }
        guard let name, !name.isEmpty, !name.utf8.contains(0) else { return nil }
        return name
    }
}

extension Certificate {
    fileprivate var commonName: String? {
        for attributes in subject {
            for attribute in attributes where attribute.type == .RDNAttributeType.commonName {
                return String(attribute.value)
            }
        }
        return nil
    }

    fileprivate var alternativeName: String? {
        guard let names = try? extensions.subjectAlternativeNames else { return nil }
        var identifier: String?
        for name in names {
            switch name {
            case .dnsName(let host): return host
            case .uniformResourceIdentifier(let text): identifier = identifier ?? text
            default: continue
            }
        }
        return identifier
    }
}
