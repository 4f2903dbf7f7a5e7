import Foundation
import Testing

/// MQTT, HTTP and WebSocket in TLS, with the clients people use.
@Suite(.timeLimit(.minutes(2)))
struct SecureListenerTests {
    private static let configuration = """
        listeners:
          - protocol: mqtt
            bind: "127.0.0.1:0"
            tls: { certificate: broker.pem, private_key: broker.key }
          - protocol: http
            bind: "127.0.0.1:0"
            tls: { certificate: broker.pem, private_key: broker.key }
        access: { anonymous: true }
        log: { format: json, level: debug }
        """

    private static let mutual = """
        listeners:
          - protocol: mqtt
            bind: "127.0.0.1:0"
            tls: { certificate: broker.pem, private_key: broker.key, client_ca: ca.pem }
          - protocol: http
            bind: "127.0.0.1:0"
            tls: { certificate: broker.pem, private_key: broker.key, client_ca: ca.pem, identity: san }
        access: { acl_file: acl }
        log: { format: json, level: debug }
        """

    private static let list = """
        user lamp
        topic readwrite devices/lamp/#
        user lamp.example
        topic readwrite devices/lamp/#
        """

    private func running(
        _ configuration: String = configuration,
        _ body: (SluiceProcess, TLSFolder) async throws -> Void
    ) async throws {
        let folder = try await TLSFolder()
        defer { folder.remove() }
        try Self.list.write(to: folder.url.appending(path: "acl"), atomically: true, encoding: .utf8)
        try await SluiceProcess.running(configuration, in: folder.url) { try await body($0, folder) }
    }

    private func status(_ command: String, _ arguments: [String]) async throws -> Int32 {
        try await ClientProcess(command, arguments).exitStatus()
    }

    private func httpStatus(_ arguments: [String]) async throws -> [String] {
        try await run("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}\n"] + arguments)
    }

    @Test(
        "mosquitto_pub and mosquitto_sub trust the authority's certificate",
        arguments: ["311", "5"],
        ["tlsv1.2", "tlsv1.3"]
    )
    func mosquittoPubMosquittoSub(version: String, tls: String) async throws {
        try await running { sluice, folder in
            let common = [
                "-h", "localhost", "-p", "\(sluice.mqtts)", "-V", version, "--tls-version", tls, "-t", "a", "-q", "2",
            ]
            let trusting = common + ["--cafile", folder.path("ca.pem")]
            let subscriber = try ClientProcess("mosquitto_sub", trusting + ["-d", "-C", "3", "-F", "%p"])
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            #expect(try await status("mosquitto_pub", trusting + ["-m", "yes"]) == 0)
            let large = folder.path("large")
            let text = String(repeating: "0123456789", count: 50_000)
            try text.write(toFile: large, atomically: true, encoding: .utf8)
            #expect(try await status("mosquitto_pub", trusting + ["-f", large]) == 0)
            #expect(try await status("mosquitto_pub", trusting + ["--tls-alpn", "mqtt", "-m", "last"]) == 0)
            _ = try await subscriber.line("the message") { $0 == "yes" }
            _ = try await subscriber.line("the large one") { $0 == text }
            _ = try await subscriber.line("the last one") { $0 == "last" }
            #expect(try await subscriber.exitStatus() == 0)
            let other = common + ["--cafile", folder.path("rogueca.pem")]
            #expect(try await status("mosquitto_pub", other + ["-m", "no"]) != 0)
        }
    }

    @Test("curl publishes and gets server-sent events") func curlPublishesGetsServer() async throws {
        try await running { sluice, folder in
            let trusting = ["--cacert", folder.path("ca.pem"), "-s"]
            let base = "https://localhost:\(sluice.https)"
            let events = try ClientProcess(
                "curl",
                trusting + ["-N", "-i", "\(base)/v1/subscribe?topic=a", "-H", "Accept: text/event-stream"]
            )
            defer { events.kill() }
            _ = try await events.line("the header") { $0.contains("text/event-stream") }
            #expect(try await httpStatus(trusting + ["-d", "21.5", "\(base)/publish?topic=a"]) == ["200"])
            let event = try await events.line("the event") { $0.hasPrefix("data:") }
            #expect(event.contains("\"21.5\""))
            // Several requests on one connection, and a client that offers HTTP/2.
            let twice = try await run(
                "curl",
                trusting + ["--http2", "-w", "%{http_version} %{num_connects} %{response_code}\n", "-o", "/dev/null"]
                    + ["\(base)/v1/health", "\(base)/v1/health", "-o", "/dev/null"]
            )
            #expect(twice == ["1.1 1 200", "1.1 0 200"])
            #expect(try await httpStatus(["--cacert", folder.path("rogueca.pem"), "\(base)/v1/health"]) == ["000"])
        }
    }

    @Test("MQTT.js and paho-mqtt exchange messages over wss") func mqttJsPahoMqtt() async throws {
        try await running { sluice, folder in
            let subscriber = try Client.node(
                "mqttjs_subscribe.js",
                ["wss://localhost:\(sluice.https)/mqtt", "a/+", "5"],
                environment: ["SLUICE_CA": folder.path("ca.pem")]
            )
            defer { subscriber.kill() }
            _ = try await subscriber.line("subscribed") { $0 == "subscribed" }
            let paho = try Client.python("paho_wss.py", ["\(sluice.https)", folder.path("ca.pem"), "a/b", "21.5"])
            #expect(await paho.remainingLines() == ["21.5"])
            #expect(try await subscriber.line("the message") == "a/b 21.5")
        }
    }

    @Test("a client's certificate is its user name over MQTT") func clientsCertificateUserName() async throws {
        try await running(Self.mutual) { sluice, folder in
            let common = ["-h", "localhost", "-p", "\(sluice.mqtts)", "--cafile", folder.path("ca.pem"), "-q", "1"]
            func publish(_ client: String, _ topic: String) async throws -> Bool {
                let shown = ["--cert", folder.path("\(client).pem"), "--key", folder.path("\(client).key")]
                let lines = try await run("mosquitto_pub", common + shown + ["-V", "5", "-d", "-t", topic, "-m", "x"])
                return lines.contains { $0.contains("received PUBACK") && $0.contains("RC:0)") }
                    || lines.contains { $0.contains("received PUBACK") && $0.contains("RC:16)") }
            }
            #expect(try await publish("lamp", "devices/lamp/state"))
            #expect(try await !publish("lamp", "devices/other/state"))
            #expect(try await !publish("rogue", "devices/lamp/state"))
            #expect(try await status("mosquitto_pub", common + ["-t", "devices/lamp/state", "-m", "x"]) != 0)
            let words = try await sluice.process.line("why") { $0.contains("the client shows no certificate") }
            #expect(words.contains("no TLS connection"))
        }
    }

    @Test("a client's certificate is its user name over HTTP, server-sent events and wss")
    func clientsCertificateUserName2() async throws {
        try await running(Self.mutual) { sluice, folder in
            let base = "https://localhost:\(sluice.https)"
            let trusting = ["--cacert", folder.path("ca.pem"), "-s"]
            let lamp = trusting + ["--cert", folder.path("lamp.pem"), "--key", folder.path("lamp.key")]
            #expect(try await httpStatus(lamp + ["-d", "x", "\(base)/publish?topic=devices/lamp/state"]) == ["200"])
            #expect(try await httpStatus(lamp + ["-d", "x", "\(base)/publish?topic=devices/other/state"]) == ["403"])
            // Credentials count for less than the certificate.
            let another = lamp + ["-u", "other:x", "-d", "x"]
            #expect(try await httpStatus(another + ["\(base)/publish?topic=devices/lamp/state"]) == ["200"])
            #expect(try await httpStatus(lamp + ["\(base)/v1/subscribe?topic=devices/other"]) == ["403"])
            #expect(try await httpStatus(lamp + ["-X", "POST", "\(base)/v1/token"]) == ["403"])
            #expect(try await httpStatus(trusting + ["\(base)/v1/health"]) == ["000"])
            let own = try Client.python(
                "paho_wss.py",
                ["\(sluice.https)", folder.path("ca.pem"), "devices/lamp/a", "on", folder.path("lamp.pem")]
                    + [folder.path("lamp.key")]
            )
            #expect(await own.remainingLines() == ["on"])
            let other = try Client.python(
                "paho_wss.py",
                ["\(sluice.https)", folder.path("ca.pem"), "devices/other/a", "on", folder.path("lamp.pem")]
                    + [folder.path("lamp.key")]
            )
            #expect(await other.remainingLines() == ["refused"])
        }
    }

    @Test("SIGHUP brings another certificate, and keeps to the old one when a file is wrong")
    func sighupBringsAnotherCertificate() async throws {
        try await running { sluice, folder in
            func subject() async throws -> String {
                let command = "openssl s_client -connect 127.0.0.1:\(sluice.mqtts) </dev/null 2>/dev/null"
                return try await run("sh", ["-c", command + " | openssl x509 -noout -subject"]).joined()
            }
            #expect(try await subject() == "subject=CN = localhost")
            let common = ["-h", "localhost", "-p", "\(sluice.mqtts)", "--cafile", folder.path("ca.pem"), "-t", "a"]
            let subscriber = try ClientProcess("mosquitto_sub", common + ["-d", "-C", "1", "-F", "%p"])
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }

            try folder.copy("renewed.pem", to: "broker.pem")
            sluice.process.hangUp()
            let words = try await sluice.process.line("the reason") { $0.contains("access files stay as they were") }
            #expect(words.contains("broker.key") && words.contains("is not the key of the certificate"))
            #expect(try await subject() == "subject=CN = localhost")

            try folder.copy("renewed.key", to: "broker.key")
            sluice.process.hangUp()
            _ = try await sluice.process.line("the news") { $0.contains("access files read again") }
            #expect(try await subject() == "subject=CN = renewed")
            #expect(try await status("mosquitto_pub", common + ["-m", "still here"]) == 0)
            #expect(try await subscriber.line("the message") { $0 == "still here" } == "still here")
        }
    }

    @Test("a client in the clear is closed on a TLS port, and one with TLS on a port in the clear")
    func clientClearClosedTLS() async throws {
        try await running { sluice, folder in
            #expect(try await status("mosquitto_pub", ["-p", "\(sluice.mqtts)", "-t", "a", "-m", "x"]) != 0)
            _ = try await sluice.process.line("why") { $0.contains("the client does not speak TLS") }
            #expect(try await httpStatus(["http://127.0.0.1:\(sluice.https)/v1/health"]) == ["000"])
            _ = try await sluice.process.line("why") { $0.contains("the client speaks HTTP without TLS") }
        }
        try await SluiceProcess.running { sluice in
            #expect(
                try await status(
                    "mosquitto_pub",
                    ["-p", "\(sluice.mqtt)", "--cafile", "/etc/ssl/certs/ca-certificates.crt", "-t", "a", "-m", "x"]
                ) != 0
            )
            _ = try await sluice.process.line("why") { $0.contains("the client speaks TLS") }
            #expect(try await httpStatus(["-k", "https://127.0.0.1:\(sluice.http)/v1/health"]) == ["000"])
            let words = try await sluice.process.line("why") { $0.contains("the client speaks TLS") }
            #expect(words.contains(#""protocol":"http""#))
        }
    }

    @Test("clients that say nothing, before the handshake or after it, do not hold up a shutdown")
    func clientsSayNothingBefore() async throws {
        try await running(Self.configuration) { sluice, _ in
            let silent = try Client.python("silent_tls.py", ["\(sluice.mqtts)", "\(sluice.https)"])
            defer { silent.kill() }
            #expect(try await silent.line() == "connected")
            let start = ContinuousClock.now
            #expect(try await sluice.stop() == 0)
            // Who holds it up does so until it is cancelled after ten seconds, or until connect_timeout, which is as long.
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    @Test("a PROXY protocol header comes before the handshake") func proxyProtocolHeaderComes() async throws {
        let configuration = Self.configuration.replacing(
            "    tls: { certificate: broker.pem, private_key: broker.key }\n  - protocol: http",
            with: """
                    tls: { certificate: broker.pem, private_key: broker.key }
                    trusted_proxies: ["127.0.0.1"]
                    proxy_protocol: true
                  - protocol: http
                """
        )
        try await running(configuration) { sluice, folder in
            let client = try Client.python(
                "proxied_tls.py",
                ["\(sluice.mqtts)", folder.path("ca.pem"), "203.0.113.7"]
            )
            #expect(await client.remainingLines() == ["0 mqtt"])
            let words = try await sluice.process.line("the client") { $0.contains("client connected") }
            #expect(words.contains("203.0.113.7:4711"))
        }
    }
}
