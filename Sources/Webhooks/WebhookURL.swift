import FoundationEssentials
import NIOCore

/// Where a webhook posts, looked at whole before anything is posted: what the client that posts makes of a URL shows at
/// the first message only, which is too late.
package struct WebhookURL: Sendable, Equatable {
    /// Without the user and password it may have.
    package let text: String
    /// The field that says who they are, `Basic …` (RFC 7617); nil without.
    package let authorization: String?

    /// What is wrong with a URL.
    package struct Refused: Error, Sendable, Equatable {
        package let words: String
    }

    /// Reads a URL (RFC 3986).
    package init(_ text: String) throws(Refused) {
        guard text.utf8.allSatisfy({ (0x21..<0x7f).contains($0) }) else {
            throw Refused(words: "must be ASCII without spaces; others are percent-encoded")
        }
        guard let mark = text.firstRange(of: "://"), ["http", "https"].contains(text[..<mark.lowerBound].lowercased())
        else { throw Refused(words: "must begin with http:// or https://") }
        let rest = text[mark.upperBound...]
        let end = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        try Self.checkPath(rest[end...])
        var authority = rest[..<end]
        if let at = authority.lastIndex(of: "@") {
            authorization = try Self.authorization(authority[..<at])
            authority = authority[authority.index(after: at)...]
        } else {
            authorization = nil
        }
        try Self.checkAuthority(authority)
        self.text = "\(text[..<mark.lowerBound].lowercased())://\(authority)\(rest[end...])"
    }

    private static func checkAuthority(_ authority: Substring) throws(Refused) {
        let port: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]"),
                case .v6? = try? SocketAddress(ipAddress: String(authority[..<end].dropFirst()), port: 0),
                !authority[..<end].contains("%")
            else { throw Refused(words: "has no IPv6 address between [ and ]") }
            port = authority[authority.index(after: end)...]
        } else {
            let end = authority.firstIndex(of: ":") ?? authority.endIndex
            try checkHost(authority[..<end])
            port = authority[end...]
        }
        guard !port.isEmpty else { return }
        let digits = port.dropFirst()
        guard port.hasPrefix(":"), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = UInt16(digits), number > 0
        else { throw Refused(words: "must have a port from 1 to 65535 after the host, or none") }
    }

    private static func checkHost(_ host: Substring) throws(Refused) {
        guard !host.isEmpty else { throw Refused(words: "has no host") }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count)
                && label.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
        }
        guard isName, host.utf8.count <= 253 else { throw Refused(words: "has a host that is no name and no address") }
        // Else it would be looked up as a name that can't be (RFC 1123 §2.1).
        guard labels.last?.allSatisfy(\.isNumber) == true else { return }
        guard (try? SocketAddress(ipAddress: String(host), port: 0)) != nil else {
            throw Refused(words: "has a host that is no IPv4 address")
        }
    }

    private static func checkPath(_ path: Substring) throws(Refused) {
        guard !path.contains("#") else { throw Refused(words: "has a fragment, which is sent to nobody") }
        guard path.utf8.allSatisfy({ !#""<>[\]^`{|}"#.utf8.contains($0) }), decoded(path) != nil else {
            throw Refused(words: "has a path or query that is not percent-encoded")
        }
    }

    /// The user's name ends at the first colon.
    private static func authorization(_ userInformation: Substring) throws(Refused) -> String {
        let parts = userInformation.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let user = decoded(parts[0]), let password = parts.count == 2 ? decoded(parts[1]) : [] else {
            throw Refused(words: "has a user or password that is not percent-encoded")
        }
        return "Basic \(Data(user + [UInt8(ascii: ":")] + password).base64EncodedString())"
    }

    private static func decoded(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let value = UInt8(Substring(digits), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}

/// A field of the header of each request.
package struct WebhookHeader: Sendable, Equatable {
    package let name: String
    package let value: String

    /// Fields that are the broker's, or the connection's.
    private static let own: Set<String> = [
        "host", "connection", "content-length", "content-type", "transfer-encoding", "webhook-id", "webhook-timestamp",
        "webhook-attempt", "webhook-signature",
    ]

    /// - Returns: nil when it can't be one (RFC 9110 §5.1, §5.5), or is the broker's own.
    package init?(_ name: String, _ value: String) {
        let isName =
            !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (0x21..<0x7f).contains(byte) && !#"()<>@,;:\"/[]?={}"#.utf8.contains(byte)
            }
        let isValue =
            !value.isEmpty && value.first != " " && value.last != " "
            && value.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
        guard isName, isValue, !Self.own.contains(name.lowercased()) else { return nil }
        self.name = name
        self.value = value
    }
}
