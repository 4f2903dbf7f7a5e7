import Yams

/// What a configuration file says, by key: `limits.connections`, `listeners[0].bind`.
struct ConfigurationKeys: Sendable {
    private var values: [String: String] = [:]

    init(_ root: Node?) {
        if let root { add(root, "") }
    }

    private mutating func add(_ node: Node, _ path: String) {
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                let name = key.string ?? ""
                add(value, path.isEmpty ? name : "\(path).\(name)")
            }
        case .sequence(let sequence):
            for (place, item) in sequence.enumerated() { add(item, "\(path)[\(place)]") }
        case .scalar(let scalar): values[path] = scalar.string
        case .alias: break
        }
    }

    /// The keys that say something else in another file, or are in one of them alone; in order.
    func differences(to other: ConfigurationKeys) -> [String] {
        Set(values.keys).union(other.values.keys).filter { values[$0] != other.values[$0] }.sorted()
    }
}
