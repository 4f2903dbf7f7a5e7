package import Auth
import Foundation

/// What the files that `access` names say.
package struct AccessFiles: Sendable {
    /// nil when there is no password file.
    package private(set) var passwords: PasswordFile?
    /// nil when there is no access control file.
    package private(set) var accessControl: AccessControlList?

    /// No files.
    init() {}

    /// Reads them.
    ///
    /// - Throws: everything that is wrong with them.
    package init(_ configuration: AccessConfiguration) throws(ConfigurationRefused) {
        var problems: [ConfigurationProblem] = []
        passwords = Self.read(configuration.passwordFile, &problems) { text throws(AccessFileRefused) in
            try PasswordFile(text)
        }
        accessControl = Self.read(configuration.aclFile, &problems) { text throws(AccessFileRefused) in
            try AccessControlList(text)
        }
        guard problems.isEmpty else { throw ConfigurationRefused(problems: problems) }
    }

    private static func read<Contents>(
        _ path: String?,
        _ problems: inout [ConfigurationProblem],
        _ parse: (String) throws(AccessFileRefused) -> Contents
    ) -> Contents? {
        guard let path else { return nil }
        func report(_ words: String, line: Int? = nil) {
            problems.append(ConfigurationProblem(source: path, line: line, key: "", words: words))
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            report("cannot be read")
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
