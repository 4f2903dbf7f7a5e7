import Foundation

/// A folder with certificates of an authority, and one of another authority that calls itself the same.
struct TLSFolder {
    let url: URL

    private static let script = """
        set -e
        cd "$0"
        authority() {
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -out $1.pem \
                -subj /CN=authority -days 2
        }
        certificate() {
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -out $1.csr -subj "/CN=$2"
            echo "subjectAltName=DNS:$3" > $1.ext
            openssl x509 -req -in $1.csr -CA $4.pem -CAkey $4.key -CAcreateserial -out $1.pem -days 2 -extfile $1.ext
        }
        authority ca
        authority rogueca
        certificate broker localhost localhost ca
        certificate renewed renewed localhost ca
        certificate lamp lamp lamp.example ca
        certificate rogue lamp lamp.example rogueca
        """

    /// Makes it.
    init() async throws {
        url = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        try await run("sh", ["-c", Self.script, url.path()])
    }

    /// The path of a file in it.
    func path(_ name: String) -> String { url.appending(path: name).path() }

    /// Puts a file in another one's place.
    func copy(_ name: String, to other: String) throws {
        try Data(contentsOf: url.appending(path: name)).write(to: url.appending(path: other))
    }

    func remove() { try? FileManager.default.removeItem(at: url) }
}
