import Glibc

/// The files that a listener's certificate is in, all in PEM.
package struct CertificateFiles: Equatable, Sendable {
    /// Which of them.
    package enum File: Sendable {
        case chain
        case privateKey
        case clientAuthority
    }

    /// The path of the certificate, followed by those that lead to the authority.
    package var chain: String
    /// The path of its key.
    package var privateKey: String
    /// The path of the authorities that sign peers' certificates; nil asks peers for none.
    package var clientAuthority: String?

    package init(chain: String, privateKey: String, clientAuthority: String?) {
        self.chain = chain
        self.privateKey = privateKey
        self.clientAuthority = clientAuthority
    }

    /// Reads them, and makes sure that sessions can be made with them.
    ///
    /// - Throws: what is wrong with the first one that can't be used.
    package func read() throws(CertificateRefused) -> CertificateText {
        let text = CertificateText(
            files: self,
            chain: try read(.chain),
            privateKey: try read(.privateKey),
            clientAuthority: clientAuthority == nil ? nil : try read(.clientAuthority)
        )
        _ = try CertificateCredentials(text)
        return text
    }

    func path(of file: File) -> String {
        switch file {
        case .chain: chain
        case .privateKey: privateKey
        case .clientAuthority: clientAuthority ?? ""
        }
    }

    private func read(_ file: File) throws(CertificateRefused) -> [UInt8] {
        guard let stream = fopen(path(of: file), "rb") else { throw CertificateRefused(self, file, "cannot be read") }
        defer { fclose(stream) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16_384)
        while case let count = fread(&part, 1, part.count, stream), count > 0 {
            bytes += part.prefix(count)
            guard bytes.count <= Self.longest else { throw CertificateRefused(self, file, "is too large") }
        }
        guard ferror(stream) == 0 else { throw CertificateRefused(self, file, "cannot be read") }
        return bytes
    }

    /// Bytes of a file; all authorities of a Linux system are a fifth of it.
    private static let longest = 1_048_576
}

/// What was in `CertificateFiles`.
package struct CertificateText: Equatable, Sendable {
    package let files: CertificateFiles
    let chain: [UInt8]
    let privateKey: [UInt8]
    let clientAuthority: [UInt8]?

    package init(files: CertificateFiles, chain: [UInt8], privateKey: [UInt8], clientAuthority: [UInt8]?) {
        self.files = files
        self.chain = chain
        self.privateKey = privateKey
        self.clientAuthority = clientAuthority
    }
}

/// A file that no session can be made with.
package struct CertificateRefused: Error, Equatable, Sendable {
    package let file: CertificateFiles.File
    package let path: String
    package let words: String

    init(_ files: CertificateFiles, _ file: CertificateFiles.File, _ words: String) {
        self.file = file
        path = files.path(of: file)
        self.words = words
    }
}
