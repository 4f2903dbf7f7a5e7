import Foundation
import Testing

/// JSON Web Tokens and API keys, with the clients people use; tokens are made by openssl, as docs/CONFIGURATION.md says.
@Suite(.timeLimit(.minutes(2)))
struct TokenAccessTests {
    private static let listeners = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - { protocol: http, bind: "127.0.0.1:0" }
        log: { format: json, level: debug }

        """

    private static let list = """
        user alice
        topic readwrite alice/#

        user shop
        topic readwrite orders/#
        """

    private static let secret = "0123456789abcdef0123456789abcdef"

    /// Signs the claims `$1` with HS256 and the secret in the file `hs.secret`, or with the key `rs.pem`.
    private static let maker = """
        cd "$0"
        encode() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
        if [ "$2" = HS256 ]; then sign() { openssl dgst -sha256 -binary -hmac "$(cat hs.secret)"; }
        else sign() { openssl dgst -sha256 -binary -sign rs.pem; }
        fi
        text=$(printf '{"alg":"%s","typ":"JWT"}' "$2" | encode).$(printf '%s' "$1" | encode)
        printf '%s.%s\\n' "$text" "$(printf '%s' "$text" | sign | encode)"
        """

    private func running(
        access: String,
        _ body: (SluiceProcess, URL) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Self.list.write(to: folder.appending(path: "acl"), atomically: true, encoding: .utf8)
        try (Self.secret + "\n").write(to: folder.appending(path: "hs.secret"), atomically: true, encoding: .utf8)
        try "".write(to: folder.appending(path: "keys"), atomically: true, encoding: .utf8)
        let commands = "cd \"$0\" && openssl genrsa -out rs.pem 2048 && openssl rsa -in rs.pem -pubout -out rs.pub"
        try await run("sh", ["-c", commands, folder.path()])
        let configuration = Self.listeners + "access: { acl_file: acl, \(access) }\n"
        try await SluiceProcess.running(configuration, in: folder) { try await body($0, folder) }
    }

    private func token(_ folder: URL, _ claims: String, _ algorithm: String = "HS256") async throws -> String {
        try await run("sh", ["-c", Self.maker, folder.path(), claims, algorithm]).joined()
    }

    private func claims(_ user: String, seconds: Int = 3_600) -> String {
        #"{"sub":"\#(user)","exp":\#(Int(Date().timeIntervalSince1970) + seconds)}"#
    }

    private func status(_ sluice: SluiceProcess, _ topic: String, _ bearer: String?) async throws -> String {
        let shown = bearer.map { ["-H", "Authorization: Bearer \($0)"] } ?? []
        return try await run(
            "curl",
            ["-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-d", "x"] + shown
                + ["http://127.0.0.1:\(sluice.http)/publish?topic=\(topic)"]
        )
        .joined()
    }

    private func publishes(_ sluice: SluiceProcess, _ topic: String, _ shown: [String]) async throws -> Bool {
        let lines = try await run(
            "mosquitto_pub",
            ["-p", "\(sluice.mqtt)", "-V", "5", "-q", "1", "-d", "-t", topic, "-m", "x"] + shown
        )
        return lines.contains { $0.contains("received PUBACK") && !$0.contains("RC:135") }
    }

    /// Nothing the broker has logged may hold a token.
    private func expectSilence(_ sluice: SluiceProcess, about secrets: [String]) async throws {
        _ = try await sluice.stop()
        let log = await sluice.process.remainingLines().joined(separator: "\n")
        for secret in secrets { #expect(!log.contains(secret)) }
    }

    @Test(
        "a token lets its user in over HTTP and MQTT, and the access rules apply",
        arguments: [("HS256", "secret_file: hs.secret"), ("RS256", "public_key: rs.pub")]
    )
    func tokenLetsUserOver(
        algorithm: String,
        keys: String
    ) async throws {
        try await running(access: "jwt: { \(keys) }") { sluice, folder in
            let good = try await token(folder, claims("alice"), algorithm)
            let other = try await token(folder, claims("bob"), algorithm)
            let late = try await token(folder, claims("alice", seconds: -60), algorithm)
            let forged = String(good.dropLast(4)) + "AAAA"
            #expect(try await status(sluice, "alice/a", good) == "200")
            #expect(try await status(sluice, "other/a", good) == "403")
            #expect(try await status(sluice, "alice/a", other) == "403")
            for bad in [late, forged, "nonsense", nil] { #expect(try await status(sluice, "alice/a", bad) == "401") }

            #expect(try await publishes(sluice, "alice/a", ["-u", "alice", "-P", good]))
            #expect(try await publishes(sluice, "alice/a", ["-u", "", "-P", good]))
            #expect(try await !publishes(sluice, "other/a", ["-u", "alice", "-P", good]))
            #expect(try await !publishes(sluice, "alice/a", ["-u", "bob", "-P", good]))
            for bad in [late, forged] {
                #expect(try await !publishes(sluice, "alice/a", ["-u", "alice", "-P", bad]))
            }
            try await expectSilence(sluice, about: [good, other, late, forged])
        }
    }

    @Test("a stream with access_token gets messages until the token is over, and so does MQTT")
    func streamAccessTokenGets() async throws {
        try await running(access: "jwt: { secret_file: hs.secret, leeway: 0 }") { sluice, folder in
            let short = try await token(folder, claims("alice", seconds: 10))
            let address = "http://127.0.0.1:\(sluice.http)/v1/subscribe?topic=alice/%23&access_token=\(short)"
            let events = try ClientProcess("curl", ["-sN", "-i", address, "-H", "Accept: text/event-stream"])
            defer { events.kill() }
            _ = try await events.line("the header") { $0.contains("text/event-stream") }
            let subscriber = try ClientProcess(
                "mosquitto_sub",
                ["-p", "\(sluice.mqtt)", "-V", "5", "-u", "alice", "-P", short, "-t", "alice/#", "-d"]
            )
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            #expect(try await status(sluice, "alice/a", short) == "200")
            _ = try await events.line("the event") { $0.contains("alice/a") }
            _ = try await events.line("the end") { $0 == "event: disconnect" }
            _ = try await subscriber.line("the end") { $0.contains("Received DISCONNECT (135)") }
            #expect(try await status(sluice, "alice/a", short) == "401")
            try await expectSilence(sluice, about: [short])
        }
    }

    @Test("an API key is made once, and taken away at SIGHUP") func apiKeyMadeOnce() async throws {
        try await running(access: "api_key_file: keys") { sluice, folder in
            let file = folder.appending(path: "keys")
            func hangUp() async throws {
                sluice.process.hangUp()
                _ = try await sluice.process.line("the news") { $0.contains("access files read again") }
            }
            let key = try await run(SluiceProcess.executable, ["apikey", file.path(), "shop"]).joined()
            #expect(key.hasPrefix("slk_"))
            #expect(try String(contentsOf: file, encoding: .utf8).contains(key) == false)
            let attributes = try FileManager.default.attributesOfItem(atPath: file.path())
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            #expect(try await status(sluice, "orders/1", key) == "401")
            try await hangUp()
            #expect(try await status(sluice, "orders/1", key) == "200")
            #expect(try await status(sluice, "alice/a", key) == "403")
            let shown = ["-u", "shop", "-P", key]
            #expect(try await publishes(sluice, "orders/1", shown))
            let subscriber = try ClientProcess(
                "mosquitto_sub",
                ["-p", "\(sluice.mqtt)", "-V", "5", "-t", "orders/#", "-d"] + shown
            )
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            try "".write(to: file, atomically: true, encoding: .utf8)
            try await hangUp()
            _ = try await subscriber.line("the end") { $0.contains("Received DISCONNECT (135)") }
            #expect(try await status(sluice, "orders/1", key) == "401")
            #expect(try await !publishes(sluice, "orders/1", shown))
            try await expectSilence(sluice, about: [key])
        }
    }

    @Test("another secret at SIGHUP ends what the former one let in") func anotherSecretSIGHUPEnds() async throws {
        try await running(access: "jwt: { secret_file: hs.secret }") { sluice, folder in
            let old = try await token(folder, claims("alice"))
            let subscriber = try ClientProcess(
                "mosquitto_sub",
                ["-p", "\(sluice.mqtt)", "-V", "5", "-u", "alice", "-P", old, "-t", "alice/#", "-d"]
            )
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            let file = folder.appending(path: "hs.secret")
            try "short".write(to: file, atomically: true, encoding: .utf8)
            sluice.process.hangUp()
            _ = try await sluice.process.line("the reason") { $0.contains("at least 32 bytes") }
            #expect(try await status(sluice, "alice/a", old) == "200")
            try String(Self.secret.reversed()).write(to: file, atomically: true, encoding: .utf8)
            sluice.process.hangUp()
            _ = try await sluice.process.line("the news") { $0.contains("access files read again") }
            _ = try await subscriber.line("the end") { $0.contains("Received DISCONNECT (135)") }
            #expect(try await status(sluice, "alice/a", old) == "401")
            #expect(try await status(sluice, "alice/a", try await token(folder, claims("alice"))) == "200")
        }
    }
}
