package import Auth
import Foundation
import Glibc

/// What the files that `access` and the listeners name say.
package struct AccessFiles: Sendable {
    /// nil when there is no password file.
    package private(set) var passwords: PasswordFile?
    /// nil when there is no API key file.
    package private(set) var apiKeys: APIKeyFile?
    /// nil when no JSON Web Tokens are taken.
    package private(set) var tokenKeys: TokenKeys?
    /// nil when there is no access control file.
    package private(set) var accessControl: AccessControlList?

    /// By path.
    package private(set) var preSharedKeys: [String: PreSharedKeyFile] = [:]

    /// What is odd in them and does no harm.
    package private(set) var warnings: [String] = []

    /// No files.
    init() {}

    /// Reads them.
    ///
    /// - Parameter preSharedKeyFiles: the paths of those that listeners name.
    /// - Throws: everything that is wrong with them.
    package init(
        _ configuration: AccessConfiguration,
        preSharedKeyFiles: Set<String> = []
    ) throws(ConfigurationRefused) {
        var problems: [ConfigurationProblem] = []
        passwords = Self.read(configuration.passwordFile, .passwords, &problems) { text throws(AccessFileRefused) in
            try PasswordFile(text)
        }
        apiKeys = Self.read(configuration.apiKeyFile, .apiKeys, &problems) { text throws(AccessFileRefused) in
            try APIKeyFile(text)
        }
        switch configuration.tokens?.keyFile {
        case nil: break
        case .secret(let path)?:
            tokenKeys = Self.read(path, .tokenKeys, &problems) { text throws(AccessFileRefused) in
                try TokenKeys(secret: text)
            }
        case .publicKey(let path)?:
            tokenKeys = Self.read(path, .tokenKeys, &problems) { text throws(AccessFileRefused) in
                try TokenKeys(publicKey: text)
            }
        case .keySet(let path)?:
            tokenKeys = Self.read(path, .tokenKeys, &problems) { text throws(AccessFileRefused) in
                try TokenKeys(keySet: text)
            }
            warnings += tokenKeys?.warnings.map { "\(path): \($0)" } ?? []
        }
        accessControl = Self.read(configuration.aclFile, .accessControl, &problems) { text throws(AccessFileRefused) in
            try AccessControlList(text)
        }
        for path in preSharedKeyFiles.sorted() {
            preSharedKeys[path] = Self.read(path, .preSharedKeys, &problems) { text throws(AccessFileRefused) in
                try PreSharedKeyFile(text)
            }
        }
        guard problems.isEmpty else { throw ConfigurationRefused(problems: problems) }
    }

    /// What a file is, by the key that names it.
    private enum Kind: String {
        case passwords = "access.password_file"
        case apiKeys = "access.api_key_file"
        case tokenKeys = "access.jwt"
        case accessControl = "access.acl_file"
        case preSharedKeys = "psk_file"

        /// How to come by one.
        var hint: String {
            switch self {
            case .passwords: "; sluice passwd FILE USER makes one"
            case .apiKeys: "; sluice apikey USER >> FILE makes one"
            case .accessControl: "; docs/CONFIGURATION.md, Access control, shows one"
            case .preSharedKeys: "; it has lines of IDENTITY:KEY, the key in hexadecimal"
            case .tokenKeys: ""
            }
        }
    }

    private static func read<Contents>(
        _ path: String?,
        _ kind: Kind,
        _ problems: inout [ConfigurationProblem],
        _ parse: (String) throws(AccessFileRefused) -> Contents
    ) -> Contents? {
        guard let path else { return nil }
        func report(_ words: String, line: Int? = nil) {
            problems.append(ConfigurationProblem(source: path, line: line, key: "", words: words))
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            let isThere = access(path, F_OK) == 0
            let why = access(path, R_OK) == 0 ? "it is no file" : String(cString: strerror(errno))
            let words = "cannot be read: \(why)\(isThere ? "" : kind.hint)"
            problems.append(ConfigurationProblem(source: path, line: nil, key: kind.rawValue, words: words))
            return nil
        }
        guard let text = String(data: data, encoding: .utf8) else {
            report("is not UTF-8 text")
            return nil
        }
        do throws(AccessFileRefused) {
            return try parse(text)
        } catch {
            for problem in error.problems { report(problem.words, line: problem.line) }
            return nil
        }
    }
}
