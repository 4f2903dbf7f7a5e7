import BrokerCore
import Foundation
import Logging
import Sluice
import Storage
import Testing

@Suite struct ConfigurationTests {
    private func load(_ yaml: String, _ environment: [String: String] = [:]) throws -> SluiceConfiguration {
        try LoadedConfiguration(yaml: yaml, file: "f.yaml", environment: environment).configuration
    }

    /// The words for what is wrong; empty when nothing is.
    private func problems(_ yaml: String, _ environment: [String: String] = [:]) -> [String] {
        do throws(ConfigurationRefused) {
            _ = try LoadedConfiguration(yaml: yaml, file: "f.yaml", environment: environment)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    private let listener = "listeners: [{ protocol: mqtt, bind: \"127.0.0.1:1883\" }]\n"

    @Test("without a file every protocol listens on its usual port, on loopback only") func withoutFileEveryProtocol()
        throws
    {
        let configuration = try LoadedConfiguration(file: nil, environment: [:]).configuration
        #expect(
            configuration.listeners.map { "\($0.protocolName) \($0.bind)" }
                == ["mqtt 127.0.0.1:1883", "http 127.0.0.1:8080", "coap 127.0.0.1:5683"]
        )
        #expect(configuration.limits == Limits())
        #expect(configuration.limits.queue == QueueLimits())
    }

    @Test("a file has exactly the listeners it names") func fileExactlyListenersNames() throws {
        let configuration = try load(listener)
        #expect(configuration.listeners.map(\.bind.description) == ["127.0.0.1:1883"])
    }

    @Test("a file without listeners is refused with an example") func fileWithoutListenersRefused() {
        #expect(problems("node: a\n").first?.contains("add for example") == true)
    }

    @Test("every key of every section is read") func everyKeyEverySection() throws {
        let configuration = try load(
            """
            node: here
            threads: 3
            sys_interval: 23
            listeners:
              - { protocol: http, bind: "[::1]:0", websocket_path: /ws, allowed_origins: ["https://a.example"] }
            access: { anonymous: true }
            coap:
              endpoints: 101
              sessions: 102
              observations: 103
              observations_per_endpoint: 104
              pending_requests: 105
              upload_bytes: 106
              download_bytes: 108
              handshakes: 107
              ack_timeout: 5
              max_retransmit: 6
              nstart: 8
              echo: true
            limits:
              connections: 11
              connections_per_address: 6
              connections_per_user: 7
              sessions: 27
              sessions_per_address: 8
              sessions_per_user: 9
              session_bytes: 2000000
              session_bytes_per_user: 1000000
              queued_bytes: 3000000
              queued_bytes_per_address: 1500000
              buffer_bytes: 4000000
              maximum_packet_size: 1024
              receive_maximum: 12
              inflight_messages: 13
              topic_alias_maximum: 14
              maximum_qos: 1
              retain_available: false
              keep_alive_maximum: 15
              session_expiry_maximum: 16
              retained_messages: 17
              subscriptions_per_session: 18
              topic_levels: 19
              connect_timeout: 20
              connection_bytes: 2000000
              retained_bytes: 24
              connection_rate: 25
              publish_rate: 26
              validate_payload_format: true
            sessions: { queue: { messages: 21, bytes: 22, when_full: disconnect } }
            storage: { backend: memory, path: /var/lib/here, durability: process }
            log: { level: debug, format: json }
            """
        )
        var limits = Limits()
        limits.connections = 11
        limits.connectionShares = Shares(perAddress: 6, perUser: 7)
        limits.sessions = 27
        limits.sessionShares = Shares(perAddress: 8, perUser: 9)
        limits.sessionBytes = 2_000_000
        limits.sessionByteShares = Shares(perUser: 1_000_000)
        limits.queuedBytes = 3_000_000
        limits.queuedByteShares = Shares(perAddress: 1_500_000)
        limits.bufferBytes = 4_000_000
        limits.maximumPacketSize = 1_024
        limits.receiveMaximum = 12
        limits.inflightMessages = 13
        limits.topicAliasMaximum = 14
        limits.maximumQoS = 1
        limits.retainAvailable = false
        limits.keepAliveMaximum = 15
        limits.sessionExpiryMaximum = 16
        limits.retainedMessages = 17
        limits.subscriptionsPerSession = 18
        limits.filtersPerPacket = 18
        limits.topicLevels = 19
        limits.connectTimeout = 20
        limits.connectionBytes = 2_000_000
        limits.retainedBytes = 24
        limits.connectionRate = 25
        limits.publishRate = 26
        limits.validatesPayloadFormat = true
        limits.queue.messages = 21
        limits.queue.bytes = 22
        limits.queue.whenFull = .disconnect
        #expect(configuration.limits == limits)
        var coap = CoAPLimits()
        coap.endpoints = 101
        coap.sessions = 102
        coap.observations = 103
        coap.observationsPerEndpoint = 104
        coap.pendingRequests = 105
        coap.uploadBytes = 106
        coap.downloadBytes = 108
        coap.handshakes = 107
        coap.acknowledgeTimeout = 5
        coap.maximumRetransmissions = 6
        coap.nstart = 8
        coap.echo = true
        #expect(configuration.coap == coap)
        #expect(configuration.node == "here")
        #expect(configuration.threads == 3)
        #expect(configuration.systemInterval == 23)
        #expect(configuration.access.anonymous == true)
        #expect(
            configuration.storage
                == StorageConfiguration(backend: .memory, path: "/var/lib/here", durability: .process)
        )
        #expect(configuration.log.level == .debug)
        #expect(configuration.log.format == .json)
        let http = try #require(configuration.listeners.first)
        #expect(http.bind.description == "[::1]:0")
        #expect(http.http.websocketPath == "/ws")
        #expect(http.http.allowedOrigins == ["https://a.example"])
    }

    @Test(
        "what is wrong is said with file, line and key",
        arguments: [
            ("limits: { maximum_qos: 3 }", "f.yaml:2: limits.maximum_qos: must be a whole number from 0 to 2, not '3'"),
            (
                "limits: { maximum_qos: high }",
                "f.yaml:2: limits.maximum_qos: must be a whole number from 0 to 2, not 'high'"
            ),
            ("limits: { retain_available: 1 }", "f.yaml:2: limits.retain_available: must be true or false, not '1'"),
            (
                "limits: { maximum_packet_sise: 5 }",
                "f.yaml:2: limits.maximum_packet_sise: unknown key; did you mean maximum_packet_size?"
            ),
            ("log: { format: xml }", "f.yaml:2: log.format: must be one of text, json, not 'xml'"),
            ("log: { level: loud }", "f.yaml:2: log.level: must be one of trace, debug"),
            ("storage: { backend: floppy }", "f.yaml:2: storage.backend: must be one of rocksdb, memory, not 'floppy'"),
            (
                "storage: { durability: eternal }",
                "f.yaml:2: storage.durability: must be one of strict, process, none, not 'eternal'"
            ),
            ("storage: { path: \"\" }", "f.yaml:2: storage.path: must be a directory's path, not ''"),
            (
                "access: { anonymous: false }",
                "f.yaml:2: access.anonymous: nobody could connect: false needs a password"
            ),
            ("access: { anonymous: maybe }", "f.yaml:2: access.anonymous: must be true or false, not 'maybe'"),
            ("access: { password_file: \"\" }", "f.yaml:2: access.password_file: must be a file's path"),
            ("limits: 5", "f.yaml:2: limits: must be a mapping of keys and values"),
            ("colour: red", "f.yaml:2: colour: unknown key; known are access, coap, limits, listeners"),
            ("node: [a]", "f.yaml:2: node: must be text"),
            ("node: a\nnode: b", "f.yaml:3: the key node is there twice: first in line 2"),
            ("limits:\n\tconnections: 5", "f.yaml:3: has a tab before its first word: YAML is indented with spaces"),
            ("node: [a", "f.yaml:"),
        ]
    )
    func wrongSaidFileLine(yaml: String, words: String) {
        let found = problems(listener + yaml)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix(words) == true, "\(found)")
    }

    @Test(
        "a listener's faults are named",
        arguments: [
            (
                "{ protocol: ftp, bind: \"127.0.0.1:1\" }",
                "listeners[0].protocol: must be one of mqtt, http, coap, not 'ftp'"
            ),
            ("{ protocol: mqtt, bind: \"localhost\" }", "listeners[0].bind: must be an address and a port"),
            ("{ protocol: mqtt, bind: \"127.0.0.1:65536\" }", "listeners[0].bind: must be an address and a port"),
            ("{ protocol: mqtt, bind: \"::1:1\" }", "listeners[0].bind: must be an address and a port"),
            ("{ protocol: mqtt }", "listeners[0].bind: is missing"),
            ("{ bind: \"127.0.0.1:1\" }", "listeners[0].protocol: is missing"),
            (
                "{ protocol: http, bind: \"127.0.0.1:1\", websocket_path: mqtt }",
                "listeners[0].websocket_path: must begin with /"
            ),
            (
                "{ protocol: coap, bind: \"127.0.0.1:1\", websocket_path: /a }",
                "listeners[0].websocket_path: unknown key"
            ),
            (
                "{ protocol: mqtt, bind: \"0.0.0.0:1883\" }",
                "listeners[0].bind: 0.0.0.0:1883 can be reached from other machines"
            ),
        ]
    )
    func listenersFaultsNamed(entry: String, words: String) {
        let found = problems("listeners: [\(entry)]\n")
        #expect(found.count == 1 && found.first?.contains(words) == true, "\(found)")
    }

    @Test("two listeners on one address are refused, TCP and UDP apart") func twoListenersOneAddress() {
        let first = "  - { protocol: mqtt, bind: \"127.0.0.1:1883\" }\n"
        #expect(problems("listeners:\n" + first + first).count == 1)
        #expect(problems("listeners:\n" + first + "  - { protocol: coap, bind: \"127.0.0.1:1883\" }\n").isEmpty)
    }

    @Test("all problems are told at once") func allProblemsToldOnce() {
        #expect(problems(listener + "limits: { maximum_qos: 3, topic_levels: 0 }\nlog: { format: xml }\n").count == 3)
    }

    @Test("the environment overrides the file, and is checked likewise") func environmentOverridesFileChecked() throws {
        let yaml = listener + "limits: { maximum_packet_size: 1024 }\n"
        let environment = ["SLUICE_LIMITS_MAXIMUM_PACKET_SIZE": "2048", "SLUICE_LOG_LEVEL": "error"]
        let configuration = try load(yaml, environment)
        #expect(configuration.limits.maximumPacketSize == 2_048)
        #expect(configuration.log.level == .error)
        #expect(
            problems(yaml, ["SLUICE_LIMITS_MAXIMUM_QOS": "9"])
                == ["SLUICE_LIMITS_MAXIMUM_QOS: limits.maximum_qos: must be a whole number from 0 to 2, not '9'"]
        )
    }

    @Test("the environment moves listeners, and adds them") func environmentMovesListenersAdds() throws {
        let environment = [
            "SLUICE_LISTENERS_0_BIND": "0.0.0.0:1884", "SLUICE_LISTENERS_1_HOSTNAMES": "broker.example, broker",
            "SLUICE_LISTENERS_3_PROTOCOL": "http", "SLUICE_LISTENERS_3_BIND": "127.0.0.1:8081",
            "SLUICE_LISTENERS_3_IDLE_TIMEOUT": "620", "SLUICE_ACCESS_ANONYMOUS": "true",
            "SLUICE_WEBHOOKS_0_NAME": "orders", "SLUICE_WEBHOOKS_0_URL": "https://shop.example/",
            "SLUICE_WEBHOOKS_0_TOPICS": "orders/#,returns/#",
        ]
        let loaded = try LoadedConfiguration(file: nil, environment: environment)
        #expect(loaded.warnings.isEmpty)
        let listeners = loaded.configuration.listeners
        #expect(
            listeners.map { "\($0.protocolName.rawValue) \($0.bind)" } == [
                "mqtt 0.0.0.0:1884", "http 127.0.0.1:8080", "coap 127.0.0.1:5683", "http 127.0.0.1:8081",
            ]
        )
        #expect(listeners[1].http.hostnames == ["broker.example", "broker"])
        #expect(listeners[3].http.idleTimeout == 620)
        #expect(loaded.configuration.webhooks.map(\.topics) == [["orders/#", "returns/#"]])
        let alone = try load(
            "",
            environment.filter { $0.key.hasPrefix("SLUICE_LISTENERS_3") }.reduce(into: [:]) {
                $0[$1.key.replacing("_3_", with: "_0_")] = $1.value
            }
        )
        #expect(alone.listeners.count == 1)
        #expect(
            problems(listener, ["SLUICE_LISTENERS_1_BIND": "127.0.0.1:1"]) == [
                "f.yaml: listeners[1].protocol: is missing"
            ]
        )
        #expect(
            problems(listener, ["SLUICE_LISTENERS_0_BIND": "localhost"]).first?
                .hasPrefix("SLUICE_LISTENERS_0_BIND: listeners[0].bind: must be an address and a port") == true
        )
        #expect(
            problems(listener, ["SLUICE_LISTENERS_0_TLS_CERTIFICATE": "a.pem"]).contains {
                $0.hasPrefix("f.yaml: listeners[0].tls.private_key: is missing")
            }
        )
    }

    @Test(
        "what can't be an origin or a name is refused",
        arguments: [
            ("allowed_origins: [\"https://dash.example/\"]", "must be a list of origins"),
            ("allowed_origins: [dash.example]", "must be a list of origins"),
            ("hostnames: [\"broker.example:80\"]", "must be a list of names"), ("idle_timeout: 0", "from 1 to 3600"),
            ("hostname: [a]", "did you mean hostnames?"),
        ]
    ) func cantOriginNameRefused(words: String, problem: String) {
        let found = problems("listeners: [{ protocol: http, bind: \"127.0.0.1:8080\", \(words) }]\n")
        #expect(found.count == 1 && found.first?.contains(problem) == true, "\(found)")
    }

    @Test("a variable that overrides nothing is a warning") func variableOverridesNothingWarning() throws {
        let loaded = try LoadedConfiguration(yaml: listener, file: "f.yaml", environment: ["SLUICE_LIMIT": "1"])
        #expect(loaded.warnings == ["SLUICE_LIMIT overrides no key of the configuration"])
    }

    @Test("what must last is kept in RocksDB, synced, in ./data beside the configuration file")
    func mustLastKeptRocksDB() throws {
        let without = try LoadedConfiguration(file: nil, environment: [:]).configuration
        #expect(without.storage == StorageConfiguration(backend: .rocksdb, path: "./data", durability: .strict))
        func path(_ file: String, _ words: String = "") throws -> String {
            try LoadedConfiguration(yaml: listener + words, file: file).configuration.storage.path
        }
        #expect(try path("f.yaml") == "./data")
        #expect(try path("/etc/sluice/f.yaml") == "/etc/sluice/data")
        #expect(try path("/etc/sluice/f.yaml", "storage: { path: ../kept }") == "/etc/sluice/../kept")
        #expect(try path("/etc/sluice/f.yaml", "storage: { path: /kept }") == "/kept")
    }

    @Test("a file that is not there is said so") func fileNotThereSaid() {
        #expect(throws: ConfigurationRefused.self) { try LoadedConfiguration(file: "/no/such.yaml", environment: [:]) }
    }

    @Test("every example loads") func everyExampleLoads() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.examples.path()).sorted()
            .filter { $0.hasSuffix(".yaml") }
        #expect(
            files == [
                "browser-dashboard.yaml", "coap-dtls.yaml", "coap-sensors.yaml", "http-webhooks.yaml", "minimal.yaml",
                "tls.yaml", "with-passwords.yaml",
            ]
        )
        for file in files where file != "tls.yaml" {
            _ = try LoadedConfiguration(file: Self.examples.appending(path: file).path(), environment: [:])
        }
    }

    @Test("the example with TLS loads once its comment's openssl commands have made its files")
    func exampleTLSLoadsOnce() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.copyItem(at: Self.examples, to: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "tls.yaml")
        func load() throws -> LoadedConfiguration { try LoadedConfiguration(file: file.path(), environment: [:]) }
        let refused = #expect(throws: ConfigurationRefused.self) { try load() }
        #expect(
            refused?.problems.first.map { "\($0)".replacing(folder.path(), with: "") }
                == "/tls.yaml:30: listeners[0].tls.certificate: /broker.pem cannot be read"
        )
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
        let commands = lines.filter { $0.hasPrefix("#   ") }.map { $0.dropFirst(4) }
            .prefix { !$0.contains("sluice passwd") }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-ec", commands.joined(separator: "\n")]
        process.currentDirectoryURL = folder
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(try load().configuration.listeners.map(\.bind.port) == [8_883, 8_443, 8_884])
    }

    private static var examples: URL {
        var folder = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { folder.deleteLastPathComponent() }
        return folder.appending(path: "gateway-configs")
    }
}
