/// Text that is the same as another only byte for byte, as MQTT tells names apart [MQTT-4.7.3-4].
///
/// `String` takes canonically equivalent characters for the same: `é` of one scalar, and `e` with an accent of its own.
/// What clients name things by (Client Identifiers, user names, topics, keys) is compared and looked up as this.
package struct ExactText: Hashable, Sendable {
    package let string: String

    package init(_ string: some StringProtocol) { self.string = String(string) }

    package static func == (left: ExactText, right: ExactText) -> Bool { left.string.isSame(as: right.string) }

    package func hash(into hasher: inout Hasher) {
        string.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

extension ExactText: Comparable {
    package static func < (left: ExactText, right: ExactText) -> Bool {
        left.string.utf8.lexicographicallyPrecedes(right.string.utf8)
    }
}

extension StringProtocol {
    /// Whether it is the same byte for byte.
    package func isSame(as other: some StringProtocol) -> Bool { utf8.elementsEqual(other.utf8) }
}

extension String? {
    /// Whether it is the same byte for byte.
    package func isSame(as other: String?) -> Bool {
        guard let self, let other else { return self == nil && other == nil }
        return self.isSame(as: other)
    }
}

// Pieces of text that are parted by bytes: to `Character`, a separator and a combining mark behind it are one.
extension StringProtocol where SubSequence == Substring {
    /// What stands between separators: one piece more than there are separators.
    package func pieces(between separator: UInt8) -> [Substring] {
        utf8.split(separator: separator, omittingEmptySubsequences: false).map { self[$0.startIndex..<$0.endIndex] }
    }

    /// What stands before the first separator, and behind it; nil without one.
    package func parted(at separator: UInt8) -> (before: Substring, behind: Substring?) {
        guard let place = utf8.firstIndex(of: separator) else { return (self[...], nil) }
        return (self[..<place], self[utf8.index(after: place)...])
    }
}

extension StringProtocol where SubSequence == Substring, UTF8View: BidirectionalCollection {
    /// What stands before the last separator, and behind it; nil without one.
    package func partedLast(at separator: UInt8) -> (before: Substring, behind: Substring)? {
        guard let place = utf8.lastIndex(of: separator) else { return nil }
        return (self[..<place], self[utf8.index(after: place)...])
    }
}

extension StringProtocol {
    /// Whether its first bytes are these.
    package func begins(with text: String) -> Bool { utf8.starts(with: text.utf8) }
}
