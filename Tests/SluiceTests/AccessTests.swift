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

    @Test func `files are found beside the configuration file, and closed to those without a password`() throws {
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

    @Test func `a path may be absolute, and the environment may name another file`() throws {
        try withFiles(["sluice.yaml": yaml("password_file: /no/such"), "other": Self.alice]) { folder in
            #expect(throws: ConfigurationRefused.self) { try load(folder) }
            let loaded = try load(folder, ["SLUICE_ACCESS_PASSWORD_FILE": "other"])
            #expect(loaded.accessFiles.passwords?.count == 1)
        }
    }

    @Test func `anonymous clients may be let in besides`() throws {
        let files = ["sluice.yaml": yaml("anonymous: true, password_file: passwd"), "passwd": Self.alice]
        let both = try withFiles(files) { try load($0).configuration.access }
        #expect(both.allowsAnonymous)
        try withFiles(["sluice.yaml": yaml("anonymous: true")]) { folder in
            let loaded = try load(folder)
            #expect(loaded.configuration.access.allowsAnonymous)
            #expect(loaded.accessFiles.passwords == nil)
        }
    }

    @Test func `what is wrong in the files is told with file and line, along with the rest`() throws {
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

    @Test func `files that can't be read are told`() throws {
        try withFiles(["sluice.yaml": yaml("password_file: passwd, acl_file: acl")]) { folder in
            try Data([0xff, 0xfe]).write(to: folder.appending(path: "acl"))
            let refused = #expect(throws: ConfigurationRefused.self) { try load(folder) }
            let words = (refused?.problems ?? []).map { "\($0)".split(separator: "/").last }
            #expect(words == ["passwd: cannot be read", "acl: is not UTF-8 text"])
        }
    }

    @Test func `an access control file without passwords is a warning: names are not checked then`() throws {
        let loaded = try withFiles(["sluice.yaml": yaml("acl_file: acl"), "acl": "topic #\n"]) { try load($0) }
        #expect(loaded.warnings.count == 1)
    }
}
