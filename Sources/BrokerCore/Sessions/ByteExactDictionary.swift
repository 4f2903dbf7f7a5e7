import MQTTCodec

/// A dictionary whose keys are compared byte by byte.
struct ByteExactDictionary<Value> {
    private var entries: [ExactText: Value] = [:]

    init() {}

    var count: Int { entries.count }
    var values: some Collection<Value> { entries.values }

    subscript(key: String) -> Value? {
        get { entries[ExactText(key)] }
        _modify { yield &entries[ExactText(key)] }
    }

    mutating func removeValue(forKey key: String) -> Value? { entries.removeValue(forKey: ExactText(key)) }
}
