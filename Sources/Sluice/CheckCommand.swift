import ArgumentParser

/// `sluice check`: says what is wrong with a configuration file, without starting.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file without starting."
    )

    @Option(name: .shortAndLong, help: "The configuration file (YAML).")
    var config: String

    func run() throws {
        let loaded = try LoadedConfiguration(file: config)
        for warning in loaded.warnings { print("warning: \(warning)") }
        print("\(config): good")
        for listener in loaded.configuration.listeners {
            print("  \(listener.protocolName.rawValue) on \(listener.bind)")
        }
        for line in MemoryBound(loaded.configuration).lines { print(line) }
    }
}
