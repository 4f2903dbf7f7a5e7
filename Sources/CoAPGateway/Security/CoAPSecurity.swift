/// How a listener's peers are encrypted and told apart: with keys, with certificates, or with both as the peer chooses.
package struct CoAPSecurity: Sendable {
    /// Which name of a peer's certificate is its user name.
    package enum CertificateIdentity: Sendable {
        case commonName
        case subjectAlternativeName
    }

    /// Devices that share a key with the broker; nil takes none.
    package var preSharedKeys: PreSharedKeys?
    /// The listener's own certificate, and who signs those of peers; nil serves those with a key only.
    package var certificate: Replaceable<CertificateText>?
    package var identity: CertificateIdentity

    package init(
        preSharedKeys: PreSharedKeys? = nil,
        certificate: Replaceable<CertificateText>? = nil,
        identity: CertificateIdentity = .commonName
    ) {
        self.preSharedKeys = preSharedKeys
        self.certificate = certificate
        self.identity = identity
    }
}

/// Who the transport says a peer is.
package struct TransportIdentity: Equatable, Sendable {
    package let name: String
    /// The key it has proven to have; nil when it showed a certificate.
    package let key: [UInt8]?

    package init(name: String, key: [UInt8]?) {
        self.name = name
        self.key = key
    }
}
