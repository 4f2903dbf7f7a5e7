/// Identities of devices and the keys they share with the broker, in the format of mosquitto's `psk_file`: one line
/// `identity:key` each, the key in hexadecimal.
package struct PreSharedKeyFile: Equatable, Sendable {
    /// One device.
    package struct Entry: Equatable, Sendable {
        package let identity: String
        /// 1 to 64 bytes.
        package let key: [UInt8]
    }

    /// In the order of the file.
    package let entries: [Entry]

    /// Bytes of the longest identity, and of the longest key, that libcoap takes.
    private static let longest = 64

    /// Reads a file's text.
    ///
    /// - Throws: everything that is wrong with it.
    package init(_ text: String) throws(AccessFileRefused) {
        var entries: [Entry] = []
        var identities: Set<UserName> = []
        try text.forEachAccessLine { _, line in
            // The key has no colon; an identity may have some.
            guard let colon = line.lastIndex(of: ":") else { return "must be an identity, a colon and a key" }
            let identity = line[..<colon]
            guard !identity.isEmpty else { return "the identity is missing" }
            guard identity.utf8.count <= Self.longest else { return "the identity has over \(Self.longest) bytes" }
            guard let key = Self.bytes(line[line.index(after: colon)...]) else {
                return "the key must be 1 to \(Self.longest) bytes in hexadecimal, two digits each"
            }
            guard identities.insert(UserName(identity)).inserted else {
                return "the identity stands in a line above, too"
            }
            entries.append(Entry(identity: String(identity), key: key))
            return nil
        }
        self.entries = entries
    }

    private static func bytes(_ hexadecimal: Substring) -> [UInt8]? {
        let digits = Array(hexadecimal.utf8)
        guard !digits.isEmpty, digits.count.isMultiple(of: 2), digits.count <= 2 * longest else { return nil }
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[place]), let low = value(digits[place + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
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
