/// A Topic Filter: what a client subscribes to (MQTT 5.0 §4.7, §4.8.2).
///
/// Valid by construction.
package struct TopicFilter: Hashable, Sendable, CustomStringConvertible {
    /// As the client wrote it, `$share/name/` included.
    package let string: String
    /// The ShareName of a shared subscription; nil when it is none.
    package let shareName: String?
    /// The filter that topics are matched against, without `$share/name/`.
    package let filter: String
    /// Whether a level is `+` or `#`.
    package let hasWildcards: Bool

    /// Checks a filter.
    ///
    /// - Throws: what is wrong with it, in words.
    package init(_ string: String) throws(TopicError) {
        guard !string.isEmpty else { throw .empty }
        guard string.utf8.count <= 65_535 else { throw .tooLong }
        guard !string.utf8.contains(0) else { throw .containsNull }
        self.string = string
        if string.utf8.starts(with: "$share/".utf8) {
            let shared = string[string.utf8.index(string.startIndex, offsetBy: 7)...]
            let (name, rest) = shared.parted(at: UInt8(ascii: "/"))
            // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
            guard !name.isEmpty, !name.utf8.contains(where: Self.isWildcard) else { throw .shareNameInvalid }
            guard let rest, !rest.isEmpty else { throw .shareWithoutFilter }
            shareName = String(name)
            filter = String(rest)
        } else {
            shareName = nil
            filter = string
        }
        hasWildcards = try Self.checkWildcards(filter)
    }

    /// Byte for byte: `String` would take canonically equivalent characters for the same [MQTT-4.7.3-4].
    package static func == (left: TopicFilter, right: TopicFilter) -> Bool {
        left.string.utf8.elementsEqual(right.string.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        string.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    package var description: String { string }

    /// Whether a topic matches, level by level; the index in the broker's core is the fast way to ask many filters.
    package func matches(_ name: TopicName) -> Bool {
        let levels = filter.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let topic = name.string.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        // [MQTT-4.7.2-1]
        if name.isReserved, let first = levels.first, first.elementsEqual("+".utf8) || first.elementsEqual("#".utf8) {
            return false
        }
        for (place, level) in levels.enumerated() {
            if level.elementsEqual("#".utf8) { return true }
            guard place < topic.count else { return false }
            if !level.elementsEqual("+".utf8), !level.elementsEqual(topic[place]) { return false }
        }
        return levels.count == topic.count
    }

    /// Refuses what is no filter at all, of a share or not: of no character [MQTT-4.7.3-1], or with a wildcard where none may
    /// be [MQTT-4.7.1-1], [MQTT-4.7.1-2].
    static func checkForm(_ filter: String) throws(MalformedPacket) {
        do throws(TopicError) {
            guard !filter.isEmpty else { throw .empty }
            _ = try checkWildcards(filter)
        } catch {
            throw .malformed("no Topic Filter: \(error)")
        }
    }

    private static func isWildcard(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") }

    /// Whether a level is a wildcard, each where it may be [MQTT-4.7.1-1], [MQTT-4.7.1-2].
    private static func checkWildcards(_ filter: String) throws(TopicError) -> Bool {
        let bytes = filter.utf8Span.span
        var hasWildcards = false
        for place in bytes.indices where isWildcard(bytes[place]) {
            hasWildcards = true
            let isLast = place == bytes.count - 1
            guard place == 0 || bytes[place - 1] == UInt8(ascii: "/"), isLast || bytes[place + 1] == UInt8(ascii: "/")
            else { throw .wildcardInsideLevel }
            if bytes[place] == UInt8(ascii: "#"), !isLast { throw .multiLevelWildcardNotLast }
        }
        return hasWildcards
    }
}
