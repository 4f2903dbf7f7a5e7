/// A Topic Name: what a message is published to (MQTT 5.0 §4.7).
///
/// Valid by construction.
package struct TopicName: Hashable, Sendable, CustomStringConvertible {
    /// The name, 1 to 65,535 bytes of UTF-8 without U+0000, `+` and `#`.
    package let string: String

    /// Checks a name.
    ///
    /// - Throws: what is wrong with it, in words.
    package init(_ string: String) throws(TopicError) {
        guard !string.isEmpty else { throw .empty }
        guard string.utf8.count <= 65_535 else { throw .tooLong }
        for byte in string.utf8 {
            if byte == 0 { throw .containsNull }
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") { throw .wildcardInName }
        }
        self.string = string
    }

    /// Takes bytes for which `validate` said yes.
    package init(validated utf8: RawSpan) {
        string = utf8.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// Byte for byte: `String` would take canonically equivalent characters for the same [MQTT-4.7.3-4].
    package static func == (left: TopicName, right: TopicName) -> Bool {
        left.string.utf8.elementsEqual(right.string.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        string.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    /// Whether it begins with `$`, which wildcards at the first level don't match [MQTT-4.7.2-1].
    package var isReserved: Bool { string.utf8.first == UInt8(ascii: "$") }

    package var description: String { string }

    /// Whether the bytes are a Topic Name [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-3.3.2-2].
    @inline(__always)
    package static func validate(_ utf8: RawSpan) -> Bool {
        guard utf8.byteCount > 0, utf8.byteCount <= 65_535 else { return false }
        for offset in 0..<utf8.byteCount {
            let byte = utf8.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
            if byte >= 0x80 { return validateBeyondASCII(utf8) }
            if byte == 0 || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") { return false }
        }
        return true
    }

    private static func validateBeyondASCII(_ utf8: RawSpan) -> Bool {
        guard UTF8Text.isValid(utf8) else { return false }
        for offset in 0..<utf8.byteCount {
            let byte = utf8.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") { return false }
        }
        return true
    }
}

/// What is wrong with a Topic Name or Topic Filter.
package enum TopicError: Error, Sendable, Equatable, CustomStringConvertible {
    case empty
    case tooLong
    case containsNull
    case wildcardInName
    case wildcardInsideLevel
    case multiLevelWildcardNotLast
    case shareNameInvalid
    case shareWithoutFilter

    package var description: String {
        switch self {
        case .empty: "a topic needs at least one character"
        case .tooLong: "a topic has at most 65,535 bytes"
        case .containsNull: "a topic can't contain the character U+0000"
        case .wildcardInName: "a topic to publish to can't contain the wildcards + and #"
        case .wildcardInsideLevel: "a wildcard + or # must stand alone between slashes"
        case .multiLevelWildcardNotLast: "the wildcard # must be the last level"
        case .shareNameInvalid: "the name after $share/ needs at least one character, and no + or #"
        case .shareWithoutFilter: "$share/name must be followed by a slash and a topic filter"
        }
    }
}
