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
        if !rest.utf8.starts(with: "/".utf8),
            let scheme = ["http://", "https://"].first(where: { rest.lowercased().hasPrefix($0) })
        {
            let authority = rest.dropFirst(scheme.count)
            let end = authority.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? authority.endIndex
            host = authority[..<end]
            let path = authority[end...]
            rest = path.hasPrefix("/") ? path : "/" + path
        }
        authority = host.map(String.init)
        // Clients keep the fragment to themselves; what follows a # here was never meant for us.
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        guard let mark = rest.firstIndex(of: "?") else {
            path = String(rest)
            query = nil
            return
        }
        path = String(rest[..<mark])
        query = String(rest[rest.index(after: mark)...])
    }
}

/// Percent-encoding (RFC 3986 §2.1).
package enum PercentEncoding {
    /// Decodes once.
    ///
    /// - Returns: the bytes; nil when a `%` is not followed by two hexadecimal digits.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(text.utf8) }

    /// Decodes once.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
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
