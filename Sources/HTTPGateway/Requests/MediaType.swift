/// A media type (RFC 9110 §8.3.1), as far as the gateway has to understand one.
package struct MediaType: Sendable, Equatable {
    /// Type and subtype in lower case: `text/plain`.
    package let essence: String
    /// In lower case; nil when there is none.
    package let charset: String?

    package init(_ value: String) {
        let parts = value.split(separator: ";", omittingEmptySubsequences: false).map { $0.trimmed.lowercased() }
        essence = parts.first ?? ""
        charset =
            parts.dropFirst().lazy
            .filter { $0.hasPrefix("charset=") }
            .map { $0.dropFirst("charset=".count).filter { $0 != "\"" } }
            .first
    }

    /// Whether it is JSON, or some format made of it.
    package var isJSON: Bool { essence == "application/json" || essence.hasSuffix("+json") }

    /// Whether its bytes are text in UTF-8, unless they say otherwise: the Payload Format Indicator's meaning.
    package var isText: Bool {
        guard charset == nil || charset == "utf-8" || charset == "us-ascii" else { return false }
        return essence.hasPrefix("text/") || isJSON || essence == "application/xml" || essence.hasSuffix("+xml")
            || essence == "application/link-format" || essence == "application/javascript"
    }

    /// What `curl -d` says of any body: it says nothing of this one.
    var isForm: Bool { essence == "application/x-www-form-urlencoded" }

    /// The best of what we have, by the client's Accept (RFC 9110 §12.5.1).
    ///
    /// - Parameter available: in our own order of preference.
    /// - Returns: nil when the client takes none of them.
    package static func negotiate(_ accept: [String], _ available: [String]) -> String? {
        let ranges = accept.flatMap { $0.split(separator: ",") }.map { AcceptedRange($0) }
        guard !ranges.isEmpty else { return available.first }
        var best: (type: String, quality: Double)?
        for type in available {
            let range = ranges.filter { $0.includes(type) }.max { $0.precision < $1.precision }
            guard let range, range.quality > 0, range.quality > best?.quality ?? 0 else { continue }
            best = (type, range.quality)
        }
        return best?.type
    }

    private struct AcceptedRange {
        let range: String
        let quality: Double

        init(_ text: Substring) {
            let parts = text.split(separator: ";").map(\.trimmed)
            range = parts.first?.lowercased() ?? ""
            quality =
                parts.dropFirst().lazy
                .filter { $0.lowercased().hasPrefix("q=") }
                .compactMap { Double($0.dropFirst(2)) }
                .first ?? 1
        }

        var precision: Int { range == "*/*" ? 0 : range.hasSuffix("/*") ? 1 : 2 }

        func includes(_ type: String) -> Bool {
            range == type || range == "*/*" || (range.hasSuffix("/*") && type.hasPrefix(range.dropLast()))
        }
    }
}

extension StringProtocol {
    /// Without spaces and tabs at its ends.
    var trimmed: String {
        let isSpace = { (character: Character) in character == " " || character == "\t" }
        guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
