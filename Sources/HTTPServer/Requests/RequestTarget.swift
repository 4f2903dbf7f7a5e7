/// The target of a request, taken apart and not decoded (RFC 9112 §3.2).
package struct RequestTarget: Sendable, Equatable {
    /// As it came: an encoded slash is not a slash, and two slashes are two.
    package let path: String
    /// Without the question mark; nil when there is none.
    package let query: String?
    /// Host and port of the absolute form; nil in origin form.
    package let authority: String?

    /// Takes a target in origin form, or in the absolute form that is sent to proxies.
    package init(_ target: String) {
        var rest = target[...]
        var host: Substring?
        if rest.utf8.first != UInt8(ascii: "/"),
            let scheme = ["http://", "https://"].first(where: { rest.lowercased().utf8.starts(with: $0.utf8) })
        {
            let authority = rest.utf8.dropFirst(scheme.utf8.count)
            let end = authority.firstIndex { "/?#".utf8.contains($0) } ?? authority.endIndex
            host = Substring(authority[..<end])
            let path = Substring(authority[end...])
            rest = path.utf8.first == UInt8(ascii: "/") ? path : "/" + path
        }
        authority = host.map(String.init)
        // Clients keep the fragment to themselves; what follows a # here was never meant for us.
        let bytes = rest.utf8.prefix { $0 != UInt8(ascii: "#") }
        let path = bytes.prefix { $0 != UInt8(ascii: "?") }
        self.path = String(Substring(path))
        query = path.endIndex < bytes.endIndex ? String(Substring(bytes[path.endIndex...].dropFirst())) : nil
    }
}

/// Percent-encoding (RFC 3986 §2.1).
package enum PercentEncoding {
    /// Decodes once.
    ///
    /// - Returns: the bytes; nil when a `%` is not followed by two hexadecimal digits.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(text.utf8) }

    /// Decodes once.
    package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var iterator = text.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = iterator.next().flatMap(digit), let low = iterator.next().flatMap(digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map(UInt8.init)
    }
}
