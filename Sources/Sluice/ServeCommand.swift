import ArgumentParser

/// `sluice serve`: runs the broker in the foreground until SIGTERM or SIGINT.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the broker in the foreground.",
        discussion: """
            Without a configuration file it listens on loopback only: MQTT on 1883, HTTP and WebSocket on 8080, CoAP on \
            5683. It stops cleanly on SIGTERM and SIGINT.
            """
    )

    @Option(name: .shortAndLong, help: "The configuration file (YAML).")
    var config: String?

    func run() async throws {
        let loaded = try LoadedConfiguration(file: config)
        try await Composition(loaded).run()
    }
}
