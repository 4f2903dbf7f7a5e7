import Glibc

/// Gets a password from whoever runs the command.
enum PasswordPrompt {
    /// Asks at the terminal, twice and without an echo; else reads one line from standard input.
    ///
    /// - Throws: what is wrong with the answer.
    static func ask(for user: String) throws -> String {
        guard isatty(STDIN_FILENO) == 1 else { return try checked(readLine()) }
        let password = try checked(hidden("Password for \(user): "))
        guard hidden("Again: ") == password else { throw PasswdFailure(words: "these are two different passwords") }
        return password
    }

    private static func checked(_ password: String?) throws -> String {
        guard let password, !password.isEmpty else { throw PasswdFailure(words: "there is no password") }
        return password
    }

    private static func hidden(_ prompt: String) -> String? {
        var usual = termios()
        guard tcgetattr(STDIN_FILENO, &usual) == 0 else { return readLine() }
        var silent = usual
        silent.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        defer { tcsetattr(STDIN_FILENO, TCSAFLUSH, &usual) }
        write(prompt)
        defer { write("\n") }
        return readLine()
    }

    /// On standard error: what is printed may go elsewhere.
    private static func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
