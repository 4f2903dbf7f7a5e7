import ArgumentParser
import Auth
import Foundation

/// `sluice apikey`: makes an API key.
struct APIKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apikey",
        abstract: "Make an API key for a user, and add its hash to an API key file.",
        discussion: """
            The key is printed, once: the file has its SHA-256 only. A user may have several; to take one away, remove its \
            line. A running broker reads the file again at SIGHUP.
            """
    )

    @Argument(help: "The API key file; it is made if it is not there.")
    var file: String

    @Argument(help: "The user the key stands for.")
    var user: String

    func run() throws {
        guard PasswordFile.canName(user) else {
            throw PasswdFailure(words: "'\(user)' can't be a user name: no colon, no control character, no # in front")
        }
        var text = ""
        if FileManager.default.fileExists(atPath: file) {
            text = try String(contentsOf: URL(fileURLWithPath: file), encoding: .utf8)
            if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
        }
        let made = APIKeyFile.make(for: user)
        text += made.line + "\n"
        do throws(AccessFileRefused) {
            _ = try APIKeyFile(text)
        } catch {
            let lines = error.problems.map { "\(file):\($0.line): \($0.words)" }
            throw PasswdFailure(words: "the file is left as it is:\n" + lines.joined(separator: "\n"))
        }
        try PrivateFile.replace(file, with: text)
        print(made.key)
    }
}
