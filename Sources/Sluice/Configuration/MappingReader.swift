import BrokerCore
import Yams

/// Collects what is wrong while a configuration is read, so that its author sees all of it at once.
final class ConfigurationReading {
    let file: String
    /// Variables whose names begin with `SLUICE_`.
    let environment: [String: String]
    private(set) var problems: [ConfigurationProblem] = []
    private var usedVariables: Set<String> = []

    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    func report(_ words: String, key: String, line: Int?, source: String? = nil) {
        problems.append(ConfigurationProblem(source: source ?? file, line: line, key: key, words: words))
    }

    /// The value of the variable that overrides a key.
    func override(of key: String) -> (variable: String, value: String)? {
        let variable = Self.variable(key)
        guard let value = environment[variable] else { return nil }
        usedVariables.insert(variable)
        return (variable, value)
    }

    /// The variable of a key: `SLUICE_LISTENERS_0_BIND` of `listeners[0].bind`.
    private static func variable(_ key: String) -> String {
        "SLUICE_"
            + key.uppercased().replacing("].", with: "_").replacing("]", with: "").replacing("[", with: "_")
            .replacing(".", with: "_")
    }

    /// Whether variables override anything inside a key that is a mapping, or a place in a list.
    func overrides(inside key: String) -> Bool {
        let prefix = Self.variable(key) + "_"
        return environment.keys.contains { $0.hasPrefix(prefix) }
    }

    /// A path that a configuration file has, as seen from the working directory.
    func resolve(_ path: String) -> String {
        guard !path.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return path }
        return String(file[...slash] + (path.hasPrefix("./") ? path.dropFirst(2) : path[...]))
    }

    /// Variables that no key has asked for: a typing error, or another program's.
    var unusedVariables: [String] { environment.keys.filter { !usedVariables.contains($0) }.sorted() }
}

/// Reads one YAML mapping strictly: every key has a type and a range, and a key nobody asked for is a problem.
///
/// Each read gives the value, or what stood there before when the key is absent or wrong; what is wrong has then been
/// reported.
struct MappingReader {
    private let reading: ConfigurationReading
    private let path: String
    private let entries: [(key: String, line: Int?, node: Node)]
    private var known: KnownNames = []

    /// - Parameter node: the mapping; nil when it is absent, which is an empty one.
    init(_ node: Node?, path: String, _ reading: ConfigurationReading) {
        self.reading = reading
        self.path = path
        guard let node, node.null == nil else {
            entries = []
            return
        }
        guard let mapping = node.mapping else {
            reading.report("must be a mapping of keys and values", key: path, line: node.mark?.line)
            entries = []
            return
        }
        entries = mapping.map { key, value in (key.string ?? "", key.mark?.line, value) }
    }

    // MARK: Values

    /// A whole number within a range.
    mutating func integer(_ name: String, in range: ClosedRange<Int>, _ value: inout Int) {
        guard let found = scalar(name) else { return }
        guard let number = found.node.int, range.contains(number) else {
            return report("must be a whole number from \(range.lowerBound) to \(range.upperBound)", found)
        }
        value = number
    }

    /// `true` or `false`.
    mutating func flag(_ name: String, _ value: inout Bool) {
        guard let found = scalar(name) else { return }
        guard let flag = found.node.bool else { return report("must be true or false", found) }
        value = flag
    }

    /// Text that may not be empty.
    mutating func text(_ name: String, _ value: inout String) {
        guard let found = scalar(name) else { return }
        guard let text = found.node.string, !text.isEmpty else { return report("must be text", found) }
        value = text
    }

    /// One word of a few.
    mutating func choice<Value: RawRepresentable & CaseIterable>(
        _ name: String,
        _ value: inout Value
    ) where Value.RawValue == String {
        guard let found = scalar(name) else { return }
        guard let chosen = found.node.string.flatMap(Value.init(rawValue:)) else {
            return report("must be one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))", found)
        }
        value = chosen
    }

    /// Whatever `convert` makes of each text of a list, which a variable has with commas; nil when the key is absent.
    mutating func convertedList<Value>(
        _ name: String,
        expected words: String,
        _ convert: (String) -> Value?
    ) -> [Value]? {
        let entry = entry(name)
        let override = reading.override(of: key(name))
        let items: [(text: String?, line: Int?)]
        if let override {
            items = override.value.split(separator: ",").map { ($0.trimmingPrefix(" ").description, nil) }
        } else if let entry {
            guard let sequence = entry.node.sequence else {
                reading.report(words, key: key(name), line: entry.line)
                return nil
            }
            items = sequence.map { ($0.scalar?.string, $0.mark?.line) }
        } else {
            return nil
        }
        return items.compactMap { item in
            guard let value = item.text.flatMap(convert) else {
                reading.report(
                    item.text.map { "\(words), not '\($0)'" } ?? words,
                    key: key(name),
                    line: item.line,
                    source: override?.variable
                )
                return nil
            }
            return value
        }
    }

    /// Names and texts, whatever the names; nil when the key is absent.
    mutating func pairs(_ name: String) -> [(name: String, value: String)]? {
        guard let entry = entry(name) else { return nil }
        guard let mapping = entry.node.mapping else {
            reading.report("must be a mapping of names and texts", key: key(name), line: entry.line)
            return nil
        }
        return mapping.compactMap { item in
            guard let name = item.key.scalar?.string, let value = item.value.scalar?.string else {
                reading.report("must be a mapping of names and texts", key: key(name), line: item.key.mark?.line)
                return nil
            }
            return (name, value)
        }
    }

    /// Whatever `convert` makes of a text.
    mutating func converted<Value>(_ name: String, expected words: String, _ convert: (String) -> Value?) -> Value? {
        guard let found = scalar(name) else { return nil }
        guard let value = found.node.string.flatMap(convert) else {
            report(words, found)
            return nil
        }
        return value
    }

    /// The path of a file, which is relative to the configuration file's folder.
    mutating func file(_ name: String) -> String? {
        let path = converted(name, expected: "must be a file's path") { $0.isEmpty ? nil : $0 }
        return path.map(reading.resolve)
    }

    /// The path of a directory, which is relative to the configuration file's folder, as its default is.
    mutating func directory(_ name: String, _ value: inout String) {
        value = reading.resolve(
            converted(name, expected: "must be a directory's path") { $0.isEmpty ? nil : $0 } ?? value
        )
    }

    // MARK: Structure

    /// A mapping inside this one; an absent one is empty.
    mutating func mapping(_ name: String) -> MappingReader {
        MappingReader(entry(name)?.node, path: key(name), reading)
    }

    /// A list of mappings, with those that variables add at its end; nil when the key is absent.
    mutating func mappings(_ name: String) -> [MappingReader]? {
        let entry = entry(name)
        var nodes: [Node?] = []
        if let entry {
            guard let sequence = entry.node.sequence else {
                reading.report("must be a list", key: key(name), line: entry.line)
                return []
            }
            nodes = Array(sequence)
        }
        while reading.overrides(inside: "\(key(name))[\(nodes.count)]") { nodes.append(nil) }
        guard entry != nil || !nodes.isEmpty else { return nil }
        return nodes.enumerated().map { place, node in
            MappingReader(node, path: "\(key(name))[\(place)]", reading)
        }
    }

    /// Whether a key is there, or a variable stands for it or for what is inside it.
    func has(_ name: String) -> Bool {
        entries.contains { $0.key == name } || reading.override(of: key(name)) != nil
            || reading.overrides(inside: key(name))
    }

    /// Reports those of these keys that are absent.
    func require(_ names: [String]) {
        for name in names where !has(name) {
            reading.report("is missing", key: key(name), line: entries.first?.line)
        }
    }

    /// Reports what is wrong with a key's value beyond its form.
    func report(_ words: String, _ name: String) { reading.report(words, key: key(name), line: line(of: name)) }

    /// Reports what is wrong with the mapping as a whole.
    func reportItself(_ words: String) { reading.report(words, key: path, line: entries.first?.line) }

    /// The line of a key, to report what only shows later.
    func line(of name: String) -> Int? { entries.first { $0.key == name }?.line }

    /// To be called when all keys have been asked for: reports those that stand there besides.
    func finish() {
        for entry in entries where !known.contains(entry.key) {
            reading.report("unknown key; \(known.hint(for: entry.key))", key: key(entry.key), line: entry.line)
        }
    }

    // MARK: Inside

    private struct Scalar {
        let node: Node
        let key: String
        let line: Int?
        let source: String?
    }

    private func key(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    private mutating func entry(_ name: String) -> (key: String, line: Int?, node: Node)? {
        known.insert(name)
        return entries.first { $0.key == name }
    }

    private mutating func scalar(_ name: String) -> Scalar? {
        let entry = entry(name)
        if let override = reading.override(of: key(name)) {
            return Scalar(node: Node(override.value), key: key(name), line: nil, source: override.variable)
        }
        return entry.map { Scalar(node: $0.node, key: key(name), line: $0.line, source: nil) }
    }

    private func report(_ words: String, _ scalar: Scalar) {
        let found = scalar.node.scalar?.string
        reading.report(
            found.map { "\(words), not '\($0)'" } ?? words,
            key: scalar.key,
            line: scalar.line,
            source: scalar.source
        )
    }
}
