/// How a listener's peers are encrypted and told apart: with keys, with certificates, or with both as the peer chooses.
package struct CoAPSecurity: Sendable {
    /// The listener's own certificate, and whether it wants to see the peer's.
    package struct Certificate: Sendable {
        /// Which name of a peer's certificate is its user name.
        package enum Identity: Sendable {
            case commonName
            case subjectAlternativeName
        }

        /// The path of a PEM file: the certificate, then those that lead to the authority.
        package var chainFile: String
        /// The path of a PEM file.
        package var privateKeyFile: String
        /// The path of a PEM file with the authorities that sign peers' certificates; nil asks peers for none.
        package var clientAuthorityFile: String?
        package var identity: Identity

        package init(
            chainFile: String,
            privateKeyFile: String,
            clientAuthorityFile: String?,
            identity: Identity = .commonName
        ) {
            self.chainFile = chainFile
            self.privateKeyFile = privateKeyFile
            self.clientAuthorityFile = clientAuthorityFile
            self.identity = identity
        }
    }

    /// Devices that share a key with the broker; nil takes none.
    package var preSharedKeys: PreSharedKeys?
    /// Nil serves those with a key only.
    package var certificate: Certificate?

    package init(preSharedKeys: PreSharedKeys? = nil, certificate: Certificate? = nil) {
        self.preSharedKeys = preSharedKeys
        self.certificate = certificate
    }
}

/// Who the transport says a peer is.
struct TransportIdentity: Equatable {
    let name: String
    /// The key it has proven to have; nil when it showed a certificate.
    let key: [UInt8]?
}
