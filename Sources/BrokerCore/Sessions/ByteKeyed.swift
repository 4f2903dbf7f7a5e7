/// A dictionary whose keys are the same only byte for byte.
///
/// `String` takes canonically equivalent characters for the same, which Client Identifiers and Topic Filters must not
/// be [MQTT-4.7.3-4].
struct ByteKeyed<Value> {
    private struct Key: Hashable {
        let string: String

        static func == (left: Key, right: Key) -> Bool { left.string.utf8.elementsEqual(right.string.utf8) }

        func hash(into hasher: inout Hasher) {
            string.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }

    private var entries: [Key: Value] = [:]

    init() {}

    var count: Int { entries.count }
    var values: some Collection<Value> { entries.values }

    subscript(key: String) -> Value? {
        get { entries[Key(string: key)] }
        _modify { yield &entries[Key(string: key)] }
    }

    mutating func removeValue(forKey key: String) -> Value? { entries.removeValue(forKey: Key(string: key)) }
}
