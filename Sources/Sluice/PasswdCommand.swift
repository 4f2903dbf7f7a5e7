import ArgumentParser
import Auth
import Foundation

/// `sluice passwd`: sets a user's password in a password file.
struct PasswdCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "passwd",
        abstract: "Set a user's password in a password file.",
        discussion: """
            The password is asked for at the terminal, or read as one line from standard input. A running broker reads the \
            file again at SIGHUP.
            """
    )

    @Argument(help: "The password file; it is made if it is not there.")
    var file: String

    @Argument(help: "The user's name.")
    var user: String

    @Flag(help: "Keep it for SCRAM-SHA-256, too; mosquitto can't read such a line.")
    var scram = false

    @Option(help: "Rounds of hashing: 210000, or 100000 with --scram, where the client has to do them, too.")
    var iterations: Int?

    func validate() throws {
        guard let iterations else { return }
        let least = scram ? ScramKeys.leastIterations : PasswordHash.iterations.lowerBound
        guard (least...PasswordHash.iterations.upperBound).contains(iterations) else {
            throw ValidationError("--iterations must be from \(least) to \(PasswordHash.iterations.upperBound)")
        }
    }

    func run() throws {
        let former = try formerText()
        guard PasswordFile.canName(user) else {
            throw PasswdFailure(words: "'\(user)' can't be a user name: no colon, no control character, no # in front")
        }
        let password = try PasswordPrompt.ask(for: user)
        let hash: PasswordHash =
            scram
            ? .scram(try ScramKeys(password: password, iterations: iterations ?? ScramKeys.usualIterations))
            : try .pbkdf2(password, iterations: iterations ?? PasswordHash.usualIterations)
        let text = PasswordFile.text(former, setting: user, to: hash)
        do throws(AccessFileRefused) {
            _ = try PasswordFile(text)
        } catch {
            let lines = error.problems.map { "\(file):\($0.line): \($0.words)" }
            throw PasswdFailure(words: "the file is left as it is:\n" + lines.joined(separator: "\n"))
        }
        try PrivateFile.replace(file, with: text)
    }

    private func formerText() throws -> String {
        guard FileManager.default.fileExists(atPath: file) else { return "" }
        return try String(contentsOf: URL(fileURLWithPath: file), encoding: .utf8)
    }
}

/// Why no password was set.
struct PasswdFailure: Error, CustomStringConvertible {
    let words: String

    var description: String { words }
}
