/// One thing that is wrong with the configuration, in words its author can act on.
package struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
    /// The file, or the environment variable.
    package let source: String
    /// Counted from 1; nil when it has no place of its own.
    package let line: Int?
    /// The key's path, such as `limits.maximum_packet_size`; empty when it is about the whole file.
    package let key: String
    package let words: String

    package var description: String {
        let place = line.map { "\(source):\($0)" } ?? source
        return key.isEmpty ? "\(place): \(words)" : "\(place): \(key): \(words)"
    }
}

/// A configuration that can't be used, with everything that is wrong with it.
package struct ConfigurationRefused: Error, CustomStringConvertible {
    package let problems: [ConfigurationProblem]

    package var description: String { problems.map(\.description).joined(separator: "\n") }
}
