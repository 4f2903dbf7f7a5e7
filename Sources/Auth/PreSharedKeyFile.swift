import MQTTCodec

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
        var identities: Set<ExactText> = []
        try text.forEachAccessLine { _, line in
            // The key has no colon; an identity may have some.
            guard let (identity, digits) = line.partedLast(at: UInt8(ascii: ":")) else {
                return "must be an identity, a colon and a key"
            }
            guard !identity.isEmpty else { return "the identity is missing" }
            guard identity.utf8.count <= Self.longest else { return "the identity has over \(Self.longest) bytes" }
            guard let key = [UInt8](hexadecimal: digits),
                (1...Self.longest).contains(key.count)
            else {
                return "the key must be 1 to \(Self.longest) bytes in hexadecimal, two digits each"
            }
            guard identities.insert(ExactText(identity)).inserted else {
                return "the identity stands in a line above, too"
            }
            entries.append(Entry(identity: String(identity), key: key))
            return nil
        }
        self.entries = entries
    }
}
