import Crypto

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
            guard let colon = line.lastIndex(of: ":") else { return "must be a user name, a colon and a SHA-256" }
            guard colon != line.startIndex else { return "the user name is missing" }
            guard let digest = [UInt8](hexadecimal: line[line.index(after: colon)...]), digest.count == SHA256.byteCount
            else { return "the SHA-256 of the key must be 64 hexadecimal digits; sluice apikey makes such lines" }
            guard users.updateValue(String(line[..<colon]), forKey: digest) == nil else {
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
    package func usersLosingKeys(to other: APIKeyFile?) -> Set<String> {
        Set(users.filter { other?.users[$0.key] != $0.value }.values)
    }

    // MARK: Editing

    /// A key nobody can guess, and the line a file has of it.
    package static func make(for user: String) -> (key: String, line: String) {
        let key = "slk_" + [UInt8].random(count: 32).hexadecimal
        return (key, "\(user):\([UInt8](SHA256.hash(data: Array(key.utf8))).hexadecimal)")
    }
}

extension [UInt8] {
    /// Two digits each.
    init?(hexadecimal text: some StringProtocol) {
        let digits = Swift.Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        self = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Self.value(digits[place]), let low = Self.value(digits[place + 1]) else { return nil }
            append(high << 4 | low)
        }
    }

    var hexadecimal: String {
        map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }
        .joined()
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
