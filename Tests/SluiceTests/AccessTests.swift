import Auth
import Foundation
import Sluice
import Testing

/// The section `access` and the files it names.
@Suite struct AccessTests {
    /// A folder with these files, for as long as `body` takes.
    private func withFiles<Value>(_ files: [String: String], _ body: (URL) throws -> Value) throws -> Value {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            try text.write(to: folder.appending(path: name), atomically: true, encoding: .utf8)
        }
        return try body(folder)
    }

    private func yaml(_ access: String, bind: String = "127.0.0.1:1883") -> String {
        "listeners: [{ protocol: mqtt, bind: \"\(bind)\" }]\naccess: { \(access) }\n"
    }

    private func load(_ folder: URL, _ environment: [String: String] = [:]) throws -> LoadedConfiguration {
        try LoadedConfiguration(file: folder.appending(path: "sluice.yaml").path(), environment: environment)
    }

    private static let alice = "alice:$7$1$AAAA$\(String(repeating: "A", count: 86))==\n"

    @Test("files are found beside the configuration file, and closed to those without a password")
    func filesFoundBesideConfiguration() throws {
        let files = [
            "sluice.yaml": yaml("password_file: passwd, acl_file: acl", bind: "0.0.0.0:1883"), "passwd": Self.alice,
            "acl": "topic read #\n",
        ]
        try withFiles(files) { folder in
            let loaded = try load(folder)
            #expect(loaded.accessFiles.passwords?.count == 1)
            #expect(loaded.accessFiles.accessControl != nil)
            #expect(!loaded.configuration.access.allowsAnonymous)
            #expect(loaded.configuration.access.passwordFile == folder.appending(path: "passwd").path())
            #expect(loaded.warnings.isEmpty)
        }
    }

    @Test("a path may be absolute, and the environment may name another file") func pathAbsoluteEnvironmentName() throws
    {
        try withFiles(["sluice.yaml": yaml("password_file: /no/such"), "other": Self.alice]) { folder in
            #expect(throws: ConfigurationRefused.self) { try load(folder) }
            let loaded = try load(folder, ["SLUICE_ACCESS_PASSWORD_FILE": "other"])
            #expect(loaded.accessFiles.passwords?.count == 1)
        }
    }

    @Test("anonymous clients may be let in besides") func anonymousClientsLetBesides() throws {
        let files = ["sluice.yaml": yaml("anonymous: true, password_file: passwd"), "passwd": Self.alice]
        let both = try withFiles(files) { try load($0).configuration.access }
        #expect(both.allowsAnonymous)
        try withFiles(["sluice.yaml": yaml("anonymous: true")]) { folder in
            let loaded = try load(folder)
            #expect(loaded.configuration.access.allowsAnonymous)
            #expect(loaded.accessFiles.passwords == nil)
        }
    }

    @Test("what is wrong in the files is told with file and line, along with the rest") func wrongFilesToldFile() throws
    {
        let files = [
            "sluice.yaml": yaml("password_file: passwd, acl_file: acl") + "colour: red\n",
            "passwd": Self.alice + "bob:secret\n", "acl": "topic read #\n\ntopic reed a\n",
        ]
        try withFiles(files) { folder in
            let refused = #expect(throws: ConfigurationRefused.self) { try load(folder) }
            let found = (refused?.problems.map(\.description) ?? []).map { $0.replacing(folder.path(), with: "") }
            #expect(found.count == 3)
            #expect(found.contains { $0.hasPrefix("/sluice.yaml:3: colour: unknown key") })
            #expect(found.contains { $0.hasPrefix("/passwd:2: the hash must begin with") })
            #expect(found.contains { $0.hasPrefix("/acl:3: must be read, write, readwrite or deny") })
        }
    }

    @Test("files that can't be read are told") func filesCantReadTold() throws {
        try withFiles(["sluice.yaml": yaml("password_file: passwd, acl_file: acl")]) { folder in
            try Data([0xff, 0xfe]).write(to: folder.appending(path: "acl"))
            let refused = #expect(throws: ConfigurationRefused.self) { try load(folder) }
            let words = (refused?.problems ?? []).map { "\($0)".split(separator: "/").last }
            #expect(
                words == [
                    "passwd: access.password_file: cannot be read: No such file or directory; "
                        + "sluice passwd FILE USER makes one", "acl: is not UTF-8 text",
                ]
            )
        }
    }

    @Test("an access control file without passwords is a warning: names are not checked then")
    func accessControlFileWithout() throws {
        let loaded = try withFiles(["sluice.yaml": yaml("acl_file: acl"), "acl": "topic #\n"]) { try load($0) }
        #expect(loaded.warnings.count == 1)
    }

    @Test(
        "what is wrong with tokens and API keys is told",
        arguments: [
            ("jwt: {}", "access.jwt: needs exactly one of secret_file, public_key, jwks_file"),
            (
                "jwt: { secret_file: secret, jwks_file: secret }",
                "access.jwt: needs exactly one of secret_file, public_key, jwks_file"
            ),
            ("jwt: { secret_file: nowhere }", "/nowhere: access.jwt: cannot be read: No such file or directory"),
            ("jwt: { secret_file: short }", "/short:1: the secret must have at least 32 bytes (RFC 7518 §3.2)"),
            ("jwt: { jwks_file: short }", "/short:1: is no JSON Web Key Set with keys of the types RSA, EC and OKP"),
            (
                "jwt: { secret_file: secret, leeway: 301 }",
                "access.jwt.leeway: must be a whole number from 0 to 300, not '301'"
            ),
            ("api_key_file: short", "/short:1: must be a user name, a colon and a SHA-256"),
            (
                "anonymous: false",
                "access.anonymous: nobody could connect: false needs a password_file, an api_key_file, jwt, "
                    + "or clients' certificates"
            ),
        ]
    )
    func wrongTokensAPIKeys(access: String, expected: String) throws {
        let secret = String(repeating: "s", count: 32)
        let found = try words(["sluice.yaml": yaml(access), "secret": secret, "short": "abc\n"])
        #expect(found.contains { $0.hasSuffix(expected) }, "\(found)")
    }

    @Test("a key of a set that is left out is a warning with its file, and two of one kid an error")
    func keySetLeftOut() throws {
        let key = #"{"kty":"OKP","kid":"a","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
        let other = #"{"kty":"RSA","use":"enc","kid":"b"}"#
        let yaml = yaml("jwt: { jwks_file: keys }")
        try withFiles(["sluice.yaml": yaml, "keys": #"{"keys":[\#(key),\#(other)]}"#]) { folder in
            let path = folder.appending(path: "keys").path()
            let expected = #"\#(path): key 2 (kid "b") is not for signatures (use "enc"): it is not used"#
            let warnings = try load(folder).warnings
            #expect(warnings == [expected])
        }
        let found = try words(["sluice.yaml": yaml, "keys": #"{"keys":[\#(key),\#(key)]}"#])
        #expect(found == [#"/keys:1: keys 1 and 2 have the same kid "a" (RFC 7517 §4.5)"#])
    }

    @Test("who knows tokens or API keys lets nobody in without, and may listen everywhere") func knowsTokensAPIKeys()
        throws
    {
        let files = ["secret": String(repeating: "s", count: 32), "keys": ""]
        for access in ["jwt: { secret_file: secret, user_claim: name, audience: a }", "api_key_file: keys"] {
            let yaml = "listeners: [{ protocol: mqtt, bind: \"0.0.0.0:0\" }]\naccess: { \(access) }\n"
            try withFiles(files.merging(["sluice.yaml": yaml]) { $1 }) { folder in
                let loaded = try load(folder)
                #expect(!loaded.configuration.access.allowsAnonymous)
                #expect(loaded.configuration.access.tokens?.rules.userClaim ?? "name" == "name")
            }
        }
    }

    @Test("secrets that every user of the machine may read are warnings that name their files")
    func secretsEveryUserMachine() throws {
        let yaml = """
            listeners: [{ protocol: coap, bind: "127.0.0.1:0", dtls: { psk_file: keys } }]
            access: { jwt: { secret_file: jwt } }
            webhooks: [{ name: a, url: "http://a", topics: [a], secret_file: hook }]
            """
        let files = [
            "sluice.yaml": yaml, "keys": "lamp:00ff\n", "jwt": String(repeating: "s", count: 32), "hook": "secret",
        ]
        try withFiles(files) { folder in
            func warnings(_ mode: Int) throws -> [String] {
                for name in ["keys", "jwt", "hook"] {
                    let path = folder.appending(path: name).path()
                    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
                }
                return try load(folder).warnings
            }
            let expected = ["hook", "jwt", "keys"].map { name in
                let path = folder.appending(path: name).path()
                return "\(path): every user of this machine may read this secret: chmod 600 \(path)"
            }
            let (open, grouped, closed) = (try warnings(0o644), try warnings(0o640), try warnings(0o600))
            #expect(open == expected)
            #expect(grouped.isEmpty && closed.isEmpty)
        }
    }

    private func coap(_ rest: String) -> String {
        "listeners: [{ protocol: coap, bind: \"127.0.0.1:0\", \(rest) }]\n"
    }

    private func words(_ files: [String: String]) throws -> [String] {
        try withFiles(files) { folder in
            do throws(ConfigurationRefused) {
                _ = try LoadedConfiguration(file: folder.appending(path: "sluice.yaml").path(), environment: [:])
                return []
            } catch {
                return error.problems.map { "\($0)".replacing(folder.path(), with: "") }
            }
        }
    }

    @Test("pre-shared keys are read in mosquitto's format, and their mistakes told with line") func preSharedKeysRead()
        throws
    {
        let keys = "# devices\nlamp:00ff\na:b:0A\n"
        try withFiles(["sluice.yaml": coap("dtls: { psk_file: keys }"), "keys": keys]) { folder in
            let loaded = try load(folder)
            let file = try #require(loaded.accessFiles.preSharedKeys.values.first)
            #expect(file.entries.map(\.identity) == ["lamp", "a:b"])
            #expect(file.entries.map(\.key) == [[0, 255], [10]])
        }
        let wrong = "lamp\n:00\nlamp:0\nlamp:xx\nlamp:\nlamp:00\nlamp:01\n\(String(repeating: "a", count: 65)):00\n"
        let found = try words(["sluice.yaml": coap("dtls: { psk_file: keys }"), "keys": wrong])
        #expect(found.map { $0.prefix(9) } == [1, 2, 3, 4, 5, 7, 8].map { "/keys:\($0): " })
    }

    @Test(
        "what is wrong with a secure listener is told",
        arguments: [
            ("dtls: {}", "listeners[0].dtls.psk_file: is missing"),
            ("tls: { psk_file: keys }", "listeners[0].tls: unknown key; did you mean dtls?"),
            ("dtls: { certificate: cert }", "listeners[0].dtls.private_key: is missing"),
            ("dtls: { client_ca: cert, psk_file: keys }", "listeners[0].dtls.certificate: is missing"),
            (
                "dtls: { certificate: cert, private_key: cert, client_certificate: required }",
                "listeners[0].dtls.client_ca: is missing"
            ),
            (
                "dtls: { certificate: nowhere, private_key: cert }",
                "listeners[0].dtls.certificate: /nowhere cannot be read"
            ),
            (
                "dtls: { certificate: cert, private_key: cert }",
                "listeners[0].dtls.certificate: /cert is no certificate in PEM"
            ),
            (
                "dtls: { certificate: pem, private_key: pem, client_ca: cert }",
                "listeners[0].dtls.client_ca: /cert has no certificate in PEM"
            ),
            (
                "dtls: { psk_file: keys, identity: email }",
                "listeners[0].dtls.identity: must be one of common_name, san, not 'email'"
            ),
            ("transport: sctp", "listeners[0].transport: must be one of udp, tcp, not 'sctp'"),
        ]
    )
    func wrongSecureListenerTold(rest: String, expected: String) throws {
        let found = try words([
            "sluice.yaml": coap(rest), "keys": "lamp:00\n", "cert": "x", "pem": Self.certificateWithKey,
        ])
        #expect(found.contains { $0.hasSuffix(expected) }, "\(found)")
    }

    @Test("what is wrong with TLS on a listener is told with line and key", arguments: ["mqtt", "http"])
    func wrongTLSListenerTold(name: String) throws {
        func found(_ rest: String) throws -> String {
            let yaml = "listeners:\n  - protocol: \(name)\n    bind: \"127.0.0.1:0\"\n    tls: { \(rest) }\n"
            return try words(["sluice.yaml": yaml, "keys": "lamp:00\n", "cert": "x"]).joined(separator: "\n")
        }
        let place = "/sluice.yaml:4: listeners[0].tls"
        #expect(
            try found("psk_file: keys, certificate: cert, private_key: cert").contains(
                "\(place).psk_file: is for coap listeners only: \(name) has certificates"
            )
        )
        #expect(
            try found("certificate: cert, private_key: cert") == "\(place).certificate: /cert is no certificate in PEM"
        )
        #expect(try found("certificate: no, private_key: cert") == "\(place).certificate: /no cannot be read")
        #expect(try found("certificate: cert") == "\(place).private_key: is missing")
    }

    /// A certificate that is good for a hundred years, and its key.
    private static let certificateWithKey = """
        -----BEGIN CERTIFICATE-----
        MIIBejCCAR+gAwIBAgIUWNhlHLiDPQpO9iKbpXl/HGEYuh4wCgYIKoZIzj0EAwIw
        ETEPMA0GA1UEAwwGYnJva2VyMCAXDTI2MTEzMDE5MDAzOVoYDzIxMjYxMTA2MTkw
        MDM5WjARMQ8wDQYDVQQDDAZicm9rZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
        AATMZncngYWUE6L5Ddqf2HRHkJTwOOenYvKOmcjZ9EbxcldGUDWDvoNvcctU/efx
        aZ4ZziC+Bkd6JeaC7xQBPkRDo1MwUTAdBgNVHQ4EFgQUQAMALdXsPc4Tyzd56pgd
        GUe2CrIwHwYDVR0jBBgwFoAUQAMALdXsPc4Tyzd56pgdGUe2CrIwDwYDVR0TAQH/
        BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAyDSUC8yFWwS9DWuwWDjfKQV6nxdV
        HTjJqGZoAQ91b4gCIQCYMPL3QhLkBc2KYXqrmMzQ4O8VTR0nQh2L5Q8WeBVdZg==
        -----END CERTIFICATE-----
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQggVzk38SE3LV1lvYi
        3U3PwDE24bWZNlhO7Ik789HQ5yehRANCAATMZncngYWUE6L5Ddqf2HRHkJTwOOen
        YvKOmcjZ9EbxcldGUDWDvoNvcctU/efxaZ4ZziC+Bkd6JeaC7xQBPkRD
        -----END PRIVATE KEY-----
        """

    @Test("a listener that knows its peers may be reached without passwords") func listenerKnowsPeersReached() throws {
        let everywhere = { (rest: String) in "listeners: [{ protocol: coap, bind: \"0.0.0.0:0\", \(rest) }]\n" }
        let files = ["keys": "lamp:00\n", "cert": Self.certificateWithKey]
        func found(_ rest: String) throws -> [String] {
            try words(files.merging(["sluice.yaml": everywhere(rest)]) { $1 })
        }
        #expect(try found("dtls: { psk_file: keys }").isEmpty)
        #expect(try found("dtls: { certificate: cert, private_key: cert, client_ca: cert }").isEmpty)
        #expect(try found("dtls: { certificate: cert, private_key: cert }").count == 1)
        #expect(try found("transport: tcp").count == 1)
    }
}
