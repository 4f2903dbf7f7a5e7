import ArgumentParser

/// The command `sluice`.
@main
struct SluiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "An MQTT broker that CoAP, HTTP and WebSocket clients are equal members of.",
        version: Version.current,
        subcommands: [ServeCommand.self, CheckCommand.self, PasswdCommand.self, APIKeyCommand.self, StoreCommand.self]
    )
}

/// The version of this build.
enum Version {
    static let current = "0.1.0"
}
