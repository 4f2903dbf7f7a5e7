import Foundation

/// The built executable, serving on free ports.
struct SluiceProcess {
    /// The port of each protocol that is listened on.
    let ports: [String: Int]
    let process: ClientProcess

    var mqtt: Int { ports["mqtt"] ?? 0 }
    var http: Int { ports["http"] ?? 0 }
    var mqtts: Int { ports["mqtts"] ?? 0 }
    var https: Int { ports["https"] ?? 0 }
    var coap: Int { ports["coap"] ?? 0 }
    var coaps: Int { ports["coaps"] ?? 0 }
    var coapTCP: Int { ports["coap+tcp"] ?? 0 }
    var coapsTCP: Int { ports["coaps+tcp"] ?? 0 }

    /// Every protocol on a port of the system's choice; the log is JSON, which says which.
    static let everyProtocol = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - { protocol: http, bind: "127.0.0.1:0" }
          - { protocol: coap, bind: "127.0.0.1:0" }
        log: { format: json }
        """

    static let mqttOnly = """
        listeners: [{ protocol: mqtt, bind: "127.0.0.1:0" }]
        log: { format: json }
        """

    /// Starts the broker, waits until it listens, and stops it when `body` is done.
    static func running<Value>(
        _ configuration: String = everyProtocol,
        through command: [String] = [],
        _ body: (SluiceProcess) async throws -> Value
    ) async throws -> Value {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await running(configuration, in: folder, through: command, body)
    }

    /// Starts the broker with its configuration in a folder that has other files, too.
    ///
    /// - Parameter command: a program that becomes the one that its arguments name.
    static func running<Value>(
        _ configuration: String,
        in folder: URL,
        through command: [String] = [],
        _ body: (SluiceProcess) async throws -> Value
    ) async throws -> Value {
        let file = folder.appending(path: "sluice.yaml")
        try configuration.write(to: file, atomically: true, encoding: .utf8)
        let arguments = command + [executable, "serve", "--config", file.path()]
        let process = try ClientProcess(arguments[0], Array(arguments.dropFirst()), reading: .standardError)
        defer { process.kill() }
        let wanted = configuration.matches(of: /\bprotocol:/).count
        var ports: [String: Int] = [:]
        while ports.count < wanted {
            let line = try await process.line("a listening line") { $0.contains("\"listening\"") }
            let event = try JSONDecoder().decode(Event.self, from: Data(line.utf8))
            ports[event.protocol] = event.port
        }
        return try await body(SluiceProcess(ports: ports, process: process))
    }

    /// Asks it to stop and waits for its end.
    ///
    /// - Returns: its exit status.
    func stop() async throws -> Int32 {
        process.terminate()
        return try await process.exitStatus()
    }

    private struct Event: Decodable {
        let `protocol`: String
        let port: Int
    }

    /// The executable built along with this test.
    static var executable: String {
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appending(path: "sluice").path()
    }
}

/// The clients people use, installed by `make test`.
enum Client {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    private static let root = folder.deletingLastPathComponent().deletingLastPathComponent()

    /// One of our scripts for paho-mqtt and other packages of PyPI.
    static func python(_ script: String, _ arguments: [String]) throws -> ClientProcess {
        let python = root.appending(path: ".venv/bin/python").path()
        return try ClientProcess(python, ["-u", path(script)] + arguments)
    }

    /// One of our scripts for MQTT.js.
    static func node(
        _ script: String,
        _ arguments: [String],
        environment: [String: String] = [:]
    ) throws -> ClientProcess {
        try ClientProcess(
            "node",
            [path(script)] + arguments,
            environment: environment.merging(["NODE_PATH": "/usr/share/nodejs"]) { $1 }
        )
    }

    /// schemathesis of PyPI, with the OpenAPI document that is served at an address.
    static func schemathesis(_ address: String) throws -> ClientProcess {
        try ClientProcess(
            root.appending(path: ".venv/bin/schemathesis").path(),
            [
                "--config-file", path("schemathesis.toml"), "run", "\(address)/v1/openapi.yaml",
                "--request-timeout", "10", "--warnings", "off", "--no-color",
            ],
            environment: [
                "SLUICE_URL": address, "SCHEMATHESIS_HOOKS": path("schemathesis_hooks.py"),
                "PYTHONDONTWRITEBYTECODE": "1",
            ]
        )
    }

    private static func path(_ script: String) -> String { folder.appending(path: "Clients/\(script)").path() }
}
