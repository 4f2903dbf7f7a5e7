import Foundation
import NIOSSL
import NetworkListeners

/// Certificates in a folder, made by openssl once for all tests.
struct TestCertificates {
    /// Made at the first use.
    static let shared = Result { try TestCertificates() }

    private let folder: URL

    private static let script = """
        set -e
        cd "$0"
        authority() {
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -out $1.pem \\
                -subj /CN=authority -days 2
        }
        certificate() {
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -out $1.csr -subj "$2"
            echo "$3" > $1.ext
            openssl x509 -req -in $1.csr -CA $4.pem -CAkey $4.key -CAcreateserial -out $1.pem -days ${5-2} -extfile $1.ext
        }
        authority ca
        authority rogueca
        certificate broker /CN=localhost subjectAltName=DNS:localhost ca
        certificate renewed /CN=renewed subjectAltName=DNS:localhost ca
        certificate lamp /O=devices/CN=lamp subjectAltName=URI:urn:lamp,DNS:lamp.example,DNS:other.example ca
        certificate uri /CN=uri subjectAltName=URI:urn:lamp ca
        certificate nameless /O=devices keyUsage=digitalSignature ca
        certificate expired /CN=lamp keyUsage=digitalSignature ca -1
        certificate rogue /CN=lamp subjectAltName=DNS:lamp.example rogueca
        openssl ec -in broker.key -aes128 -passout pass:secret -out locked.key
        echo nonsense > nonsense.pem
        """

    private init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "sluice-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", Self.script, folder.path()]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw NotMade() }
    }

    struct NotMade: Error {}

    /// The path of a file.
    func path(_ name: String) -> String { folder.appending(path: name).path() }

    /// A listener's files.
    func files(_ name: String = "broker", key: String? = nil, clientAuthority: String? = nil) -> TLSFiles {
        TLSFiles(
            certificate: path("\(name).pem"),
            privateKey: path("\(key ?? name).key"),
            clientAuthority: clientAuthority.map { path("\($0).pem") }
        )
    }

    /// A client that trusts the authority and shows a certificate if it has one.
    func client(_ name: String? = nil, _ change: (inout TLSConfiguration) -> Void = { _ in }) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(path("ca.pem"))
        if let name {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(path("\(name).pem"))
                .map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: path("\(name).key"), format: .pem))
        }
        change(&configuration)
        return try NIOSSLContext(configuration: configuration)
    }
}
