import Crypto
package import MQTTCodec

/// API keys, of each the user it stands for and its SHA-256: one line `user:digest`, in hexadecimal.
///
/// A key is random and long, so a fast hash is as good as a slow one. A user may have several, to change from one to the
/// next.
package struct APIKeyFile: Sendable {
    private var users: [[UInt8]: String] = [:]

    /// Reads a file's text.
    ///
    /// - Throws: everything that is wrong with it.
    package init(_ text: String) throws(AccessFileRefused) {
        var users: [[UInt8]: String] = [:]
        try text.forEachAccessLine { _, line in
            guard let (user, digits) = line.partedLast(at: UInt8(ascii: ":")) else {
                return "must be a user name, a colon and a SHA-256"
            }
            guard !user.isEmpty else { return "the user name is missing" }
            guard let digest = [UInt8](hexadecimal: digits), digest.count == SHA256.byteCount
            else { return "the SHA-256 of the key must be 64 hexadecimal digits; sluice apikey makes such lines" }
            guard users.updateValue(String(user), forKey: digest) == nil else {
                return "the key stands in a line above, too"
            }
            return nil
        }
        self.users = users
    }

    /// Number of keys.
    package var count: Int { users.count }

    /// The user a key stands for.
    func user(of key: some Sequence<UInt8>) -> String? { users[Array(SHA256.hash(data: Array(key)))] }

    /// Users of whose keys some are not in another file any more.
    package func usersLosingKeys(to other: APIKeyFile?) -> Set<ExactText> {
        Set(users.lazy.filter { !(other?.users[$0.key]).isSame(as: $0.value) }.map { ExactText($0.value) })
    }

    // MARK: Editing

    /// A key nobody can guess, and the line a file has of it.
    package static func make(for user: String) -> (key: String, line: String) {
        let key = "slk_" + [UInt8].random(count: 32).hexadecimal
        return (key, "\(user):\([UInt8](SHA256.hash(data: Array(key.utf8))).hexadecimal)")
    }
}
