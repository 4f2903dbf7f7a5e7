import Foundation
import Testing

/// What the log of a running broker says of clients that are refused, and of its configuration.
@Suite(.timeLimit(.minutes(2)))
struct LogLineTests {
    private static let configuration = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - { protocol: http, bind: "127.0.0.1:0", allowed_origins: ["https://dash.example"] }
          - { protocol: coap, bind: "127.0.0.1:0", dtls: { psk_file: devices.psk } }
        access: { anonymous: true, acl_file: acl }
        storage: { backend: memory }
        log: { format: json }
        """

    private struct Line: Decodable {
        let event: String
        let client_id: String?
        let user_name: String?
        let address: String?
        let action: String?
        let topic: String?
        let rule: String?
        let reason: String?
        let detail: String?
        let keys: String?
    }

    private func running(_ body: (SluiceProcess, URL) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ text: String, _ name: String) throws {
            try text.write(to: folder.appending(path: name), atomically: true, encoding: .utf8)
        }
        try write("lamp:736573616d65\n", "devices.psk")
        try write("topic readwrite public/#\ntopic deny public/secret\n", "acl")
        try await SluiceProcess.running(Self.configuration, in: folder) { try await body($0, folder) }
    }

    private func line(_ event: String, _ sluice: SluiceProcess) async throws -> Line {
        let text = try await sluice.process.line(event) { $0.contains("\"event\":\"\(event)\"") }
        return try JSONDecoder().decode(Line.self, from: Data(text.utf8))
    }

    @Test("what the access control file forbids has a line, whatever the protocol") func accessControlFileForbids()
        async throws
    {
        try await running { sluice, _ in
            try await run(
                "mosquitto_pub",
                ["-p", "\(sluice.mqtt)", "-i", "lamp", "-q", "1", "-t", "public/secret", "-m", "x"]
            )
            let publish = try await line("access.denied", sluice)
            #expect(publish.client_id == "lamp")
            #expect(publish.action == "publish")
            #expect(publish.topic == "public/secret")
            #expect(publish.rule?.hasSuffix("acl:2") == true)
            #expect(publish.address?.wholeMatch(of: /127\.0\.0\.1:\d+/) != nil)
            try await run("sh", ["-c", "mosquitto_sub -p \(sluice.mqtt) -i lamp -t other -W 1 || true"])
            let subscribe = try await line("access.denied", sluice)
            #expect(subscribe.action == "subscribe")
            #expect(subscribe.rule == "no rule allows it")
            let base = "http://127.0.0.1:\(sluice.http)/v1/topics/"
            try await run("curl", ["-s", "-X", "POST", "-d", "x", base + "other"])
            #expect(try await line("access.denied", sluice).action == "publish")
            try await run("curl", ["-s", base + "other"])
            #expect(try await line("access.denied", sluice).action == "read")
        }
    }

    @Test("a DTLS client with a wrong key, and one that nobody knows, have lines with their identity")
    func dtlsClientWrongKey()
        async throws
    {
        try await running { sluice, _ in
            let base = "coaps://127.0.0.1:\(sluice.coaps)/ps/public/x"
            func get(_ identity: String, _ key: String) async throws {
                try await run(
                    "sh",
                    ["-c", "timeout 4 coap-client-gnutls -B 2 -u \(identity) -k \(key) \(base) || true"]
                )
            }
            try await get("nobody", "sesame")
            let unknown = try await line("client.refused", sluice)
            #expect(unknown.user_name == "nobody")
            #expect(unknown.detail == "no pre-shared key has that identity")
            try await get("lamp", "wrong")
            let wrong = try await line("client.refused", sluice)
            #expect(wrong.user_name == "lamp")
            #expect(wrong.detail?.contains("key is another one") == true)
        }
    }

    @Test("a page of an origin that is not allowed has a line") func pageOriginNotAllowed() async throws {
        try await running { sluice, _ in
            let url = "http://127.0.0.1:\(sluice.http)/publish?topic=public/x"
            try await run("curl", ["-s", "-H", "Origin: https://evil.example", "-d", "x", url])
            let refused = try await line("client.refused", sluice)
            #expect(refused.reason == "Forbidden")
            #expect(refused.detail?.contains("origin") == true)
        }
    }

    @Test("at SIGHUP the log names what was read, and what needs a restart") func sighupLogNamesRead() async throws {
        try await running { sluice, folder in
            let file = folder.appending(path: "sluice.yaml")
            try (Self.configuration + "\nlimits: { connections: 77 }\n").write(
                to: file,
                atomically: true,
                encoding: .utf8
            )
            sluice.process.hangUp()
            #expect(try await line("config.needs_restart", sluice).keys == "limits.connections")
            #expect(try await line("config.reloaded", sluice).detail == "access rules: 2, device keys: 1")
        }
    }
}
