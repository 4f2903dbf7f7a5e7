import Foundation
import NIOCore
import NIOSSL

/// The files that a listener's TLS is made of, all in PEM.
package struct TLSFiles: Sendable, Equatable {
    /// Which of them.
    package enum File: Sendable {
        case certificate
        case privateKey
        case clientAuthority
    }

    /// How long a client may take to agree to the end of a connection.
    private static let closeTime = TimeAmount.seconds(2)

    /// The path of the listener's certificate, followed by those that lead to the authority.
    package var certificate: String
    /// The path of its key.
    package var privateKey: String
    /// The path of the authorities that sign clients' certificates; nil asks clients for none.
    package var clientAuthority: String?

    package init(certificate: String, privateKey: String, clientAuthority: String? = nil) {
        self.certificate = certificate
        self.privateKey = privateKey
        self.clientAuthority = clientAuthority
    }

    /// Reads them.
    ///
    /// - Parameter applicationProtocol: what is spoken inside, by its ALPN name (RFC 7301); clients need not ask for it.
    /// - Throws: what is wrong with the first one that can't be used.
    package func load(applicationProtocol: String) throws(TLSFileRefused) -> TLSContext {
        let chain = try certificates(.certificate, certificate)
        let key = try read(.privateKey, privateKey)
        guard let key = try? NIOSSLPrivateKey(bytes: key, format: .pem) else {
            throw refusal(.privateKey, privateKey, "is no private key in PEM, or has a passphrase")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        configuration.minimumTLSVersion = .tlsv12
        configuration.shutdownTimeout = Self.closeTime
        configuration.applicationProtocols = [applicationProtocol]
        if let clientAuthority {
            configuration.trustRoots = .certificates(try certificates(.clientAuthority, clientAuthority))
            // A client has no host name to check; one without a certificate is refused.
            configuration.certificateVerification = .noHostnameVerification
            configuration.sendCANameList = true
        }
        do {
            return TLSContext(context: try NIOSSLContext(configuration: configuration))
        } catch {
            // BoringSSL compares the two.
            throw refusal(.privateKey, privateKey, "is not the key of the certificate \(certificate)")
        }
    }

    private func certificates(_ file: File, _ path: String) throws(TLSFileRefused) -> [NIOSSLCertificate] {
        let bytes = try read(file, path)
        guard let found = try? NIOSSLCertificate.fromPEMBytes(bytes), !found.isEmpty else {
            throw refusal(file, path, "is no certificate in PEM")
        }
        return found
    }

    private func read(_ file: File, _ path: String) throws(TLSFileRefused) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw refusal(file, path, "cannot be read")
        }
        return Array(data)
    }

    private func refusal(_ file: File, _ path: String, _ words: String) -> TLSFileRefused {
        TLSFileRefused(file: file, path: path, words: words)
    }
}

/// A file that TLS can't be made of.
package struct TLSFileRefused: Error, Sendable {
    package let file: TLSFiles.File
    package let path: String
    package let words: String
}

/// What was read of `TLSFiles`.
package struct TLSContext: Sendable {
    let context: NIOSSLContext
}
