import NetworkListeners
import Testing

@Suite struct TLSFilesTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    /// What is wrong with files; empty when nothing is.
    private func words(_ files: TLSFiles) -> String {
        do throws(TLSFileRefused) {
            _ = try files.load(applicationProtocol: "mqtt")
            return ""
        } catch {
            return "\(error.file): \(error.path.split(separator: "/").last ?? "") \(error.words)"
        }
    }

    @Test("a chain and its key are taken") func chainKeyTaken() {
        #expect(words(certificates.files()).isEmpty)
        #expect(words(certificates.files(clientAuthority: "ca")).isEmpty)
    }

    @Test("each file that can't be used is named with the reason") func eachFileCantUsed() {
        #expect(words(certificates.files("nowhere")) == "certificate: nowhere.pem cannot be read")
        #expect(words(certificates.files("nonsense")) == "certificate: nonsense.pem is no certificate in PEM")
        #expect(words(certificates.files(key: "nowhere")) == "privateKey: nowhere.key cannot be read")
        #expect(
            words(certificates.files(key: "locked"))
                == "privateKey: locked.key is no private key in PEM, or has a passphrase"
        )
        #expect(
            words(certificates.files(key: "lamp"))
                .hasPrefix("privateKey: lamp.key is not the key of the certificate \(certificates.path("broker.pem"))")
        )
        #expect(
            words(certificates.files(clientAuthority: "nonsense"))
                == "clientAuthority: nonsense.pem is no certificate in PEM"
        )
    }
}
