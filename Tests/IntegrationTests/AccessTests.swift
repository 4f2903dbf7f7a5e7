import Foundation
import Testing

/// Passwords, access control and SCRAM, with the clients people use.
@Suite(.timeLimit(.minutes(1)))
struct AccessTests {
    private static let configuration = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - { protocol: http, bind: "127.0.0.1:0" }
          - { protocol: coap, bind: "127.0.0.1:0" }
        access: { anonymous: false, password_file: passwd, acl_file: acl }
        log: { format: json }
        """

    private static let list = """
        user alice
        topic readwrite #

        user bob
        topic read #
        topic deny secret/#
        topic write notes/bob
        """

    /// A broker that knows alice and bob; the passwords were set by mosquitto's tool and by ours.
    private func running(_ body: (SluiceProcess, URL) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let passwords = folder.appending(path: "passwd").path()
        try Self.list.write(to: folder.appending(path: "acl"), atomically: true, encoding: .utf8)
        try await run("mosquitto_passwd", ["-c", "-b", passwords, "alice", "rabbit"])
        try await setPassword("hatter", of: "bob", in: passwords, ["--scram"])
        try await SluiceProcess.running(Self.configuration, in: folder) { try await body($0, folder) }
    }

    private func setPassword(_ password: String, of user: String, in file: String, _ options: [String]) async throws {
        let tool = (["$0", "passwd"] + options + ["$1", "$2"]).map { $0.hasPrefix("$") ? "\"\($0)\"" : $0 }
        let command = "printf '%s\\n' \"$3\" | \(tool.joined(separator: " "))"
        let words = await output(of: "sh", ["-c", command, SluiceProcess.executable, file, user, password])
        #expect(words.isEmpty)
    }

    private func output(of command: String, _ arguments: [String]) async -> [String] {
        (try? await run(command, arguments)) ?? ["it did not start"]
    }

    private func status(_ command: String, _ arguments: [String]) async throws -> Int32 {
        try await ClientProcess(command, arguments).exitStatus()
    }

    @Test("mosquitto_pub and mosquitto_sub get in with the right password only", arguments: ["311", "5"])
    func mosquittoPubMosquittoSub(version: String) async throws {
        try await running { sluice, _ in
            let common = ["-p", "\(sluice.mqtt)", "-V", version, "-q", "1", "-t", "a"]
            let alice = ["-u", "alice", "-P", "rabbit"]
            let subscriber = try ClientProcess("mosquitto_sub", common + alice + ["-d", "-C", "1", "-F", "%p"])
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            let refusedCredentials = [
                [], ["-u", "alice"], ["-u", "alice", "-P", "hatter"], ["-u", "carol", "-P", "x"],
            ]
            for credentials in refusedCredentials {
                #expect(try await status("mosquitto_pub", common + credentials + ["-m", "no"]) != 0)
            }
            #expect(try await status("mosquitto_pub", common + alice + ["-m", "yes"]) == 0)
            _ = try await subscriber.line("the message") { $0 == "yes" }
            #expect(try await subscriber.exitStatus() == 0)
            // Without SCRAM bob's password is as good.
            #expect(try await status("mosquitto_sub", common + ["-u", "bob", "-P", "hatter", "-E"]) == 0)
        }
    }

    @Test("a topic that may not be read is hidden from # and from what is retained", arguments: ["311", "5"])
    func topicNotReadHidden(version: String) async throws {
        try await running { sluice, _ in
            let alice = ["-p", "\(sluice.mqtt)", "-u", "alice", "-P", "rabbit", "-q", "1"]
            try await run("mosquitto_pub", alice + ["-t", "secret/kept", "-m", "1", "-r"])
            try await run("mosquitto_pub", alice + ["-t", "open/kept", "-m", "2", "-r"])
            let bob = ["-p", "\(sluice.mqtt)", "-V", version, "-u", "bob", "-P", "hatter", "-q", "1"]
            let subscriber = try ClientProcess("mosquitto_sub", bob + ["-t", "#", "-d", "-v"])
            defer { subscriber.kill() }
            var seen: [String] = []
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            for number in 3...6 {
                try await run("mosquitto_pub", alice + ["-t", "secret/a", "-m", "\(number)"])
            }
            try await run("mosquitto_pub", bob + ["-t", "notes/alice", "-m", "no"])
            try await run("mosquitto_pub", bob + ["-t", "notes/bob", "-m", "last"])
            _ = try await subscriber.line("the last message") { line in
                if line.first?.isLowercase == true { seen.append(line) }
                return line == "notes/bob last"
            }
            #expect(seen == ["open/kept 2", "notes/bob last"])
        }
    }

    @Test("curl shows its password in every request") func curlShowsPasswordEvery() async throws {
        try await running { sluice, _ in
            let wanted = [
                ([], "a", "401"), (["-u", "alice:hatter"], "a", "401"), (["-u", "alice:rabbit"], "a", "200"),
                (["-u", "bob:hatter"], "a", "403"), (["-u", "bob:hatter"], "notes/bob", "200"),
            ]
            for (credentials, topic, status) in wanted {
                let got = try await publishStatus(sluice, credentials, topic)
                #expect(got == [status], "\(credentials)")
            }
            let poll = sluice.pollArguments("topic=secret/a&wait=0")
            let hidden = try await run("curl", poll + ["-u", "bob:hatter", "-o", "/dev/null", "-w", "%{http_code}"])
            #expect(hidden == ["403"])
        }
    }

    @Test("what is hidden from a CoAP client is not among the links either") func hiddenCoAPClientNot() async throws {
        try await running { sluice, _ in
            let alice = ["-p", "\(sluice.mqtt)", "-u", "alice", "-P", "rabbit", "-q", "1"]
            try await run("mosquitto_pub", alice + ["-t", "secret/kept", "-m", "1", "-r"])
            try await run("mosquitto_pub", alice + ["-t", "open/kept", "-m", "2", "-r"])
            func links(_ query: String) async throws -> String {
                let uri = "coap://127.0.0.1:\(sluice.coap)/.well-known/core\(query)"
                return try await run("coap-client-notls", ["-m", "get", "-B", "10", uri]).joined()
            }
            let door = "</ps>;rt=\"core.ps\";ct=40"
            #expect(try await links("?u=bob&p=hatter") == door + ",</ps/open/kept>;rt=\"core.ps.data\";obs")
            #expect(try await links("?u=alice&p=rabbit").contains("/ps/secret/kept"))
            #expect(try await links("") == door)
        }
    }

    /// The HTTP status of a publish.
    private func publishStatus(
        _ sluice: SluiceProcess,
        _ credentials: [String],
        _ topic: String
    ) async throws -> [String] {
        let url = "http://127.0.0.1:\(sluice.http)/publish?topic=\(topic)"
        return try await run(
            "curl",
            ["-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-d", "x"] + credentials + [url]
        )
    }

    @Test("a CoAP client names itself in the query") func coapClientNamesItself() async throws {
        try await running { sluice, _ in
            let url = sluice.coapURL("notes/bob")
            let post = ["-m", "post", "-e", "x", "-B", "10", "-v", "6"]
            let good = try await run("coap-client-notls", post + ["\(url)?u=bob&p=hatter"])
            #expect(good.last?.contains("2.04") == true)
            let bad = try await run("coap-client-notls", post + ["\(url)?u=bob&p=rabbit"])
            #expect(bad.contains { $0.contains("4.01") })
        }
    }

    @Test("[MQTT-4.12.0-2] [MQTT-4.12.0-4] [MQTT-4.12.1-2] a client authenticates by SCRAM-SHA-256, twice, then fails")
    func scram() async throws {
        try await running { sluice, _ in
            let bob = try Client.python("scram_client.py", ["\(sluice.mqtt)", "bob", "hatter"])
            #expect(await bob.remainingLines() == ["connected", "authenticated anew", "disconnected 0x87"])
            #expect(try await bob.exitStatus() == 0)
            // Alice's password is not kept for SCRAM; she and nobody can't be told apart.
            for (user, password) in [("bob", "rabbit"), ("alice", "rabbit"), ("nobody", "rabbit")] {
                let refused = try Client.python("scram_client.py", ["\(sluice.mqtt)", user, password])
                #expect(await refused.remainingLines() == ["refused 0x86"])
            }
        }
    }

    @Test("SIGHUP reads the files again, ends who is gone, and keeps to the old ones when they are bad")
    func sighupReadsFilesAgain()
        async throws
    {
        try await running { sluice, folder in
            let bob = ["-p", "\(sluice.mqtt)", "-V", "5", "-u", "bob", "-P", "hatter"]
            let subscriber = try ClientProcess("mosquitto_sub", bob + ["-t", "#", "-d", "-i", "s"])
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            let list = folder.appending(path: "acl")
            try "user bob\ntopic readd #\n".write(to: list, atomically: true, encoding: .utf8)
            sluice.process.hangUp()
            let words = try await sluice.process.line("the reason") { $0.contains("access files stay as they were") }
            #expect(words.contains("acl:2: must be read, write"))
            #expect(try await status("mosquitto_pub", bob + ["-t", "notes/bob", "-m", "1", "-q", "1"]) == 0)

            try Self.list.write(to: list, atomically: true, encoding: .utf8)
            try await setPassword("march", of: "bob", in: folder.appending(path: "passwd").path(), [])
            sluice.process.hangUp()
            _ = try await sluice.process.line("the news") { $0.contains("access files read again") }
            _ = try await subscriber.line("DISCONNECT") { $0.contains("Received DISCONNECT (135)") }
            #expect(try await status("mosquitto_pub", bob + ["-t", "notes/bob", "-m", "2"]) != 0)
            let again = ["-p", "\(sluice.mqtt)", "-u", "bob", "-P", "march", "-t", "notes/bob", "-m", "3"]
            #expect(try await status("mosquitto_pub", again) == 0)
        }
    }

    @Test("passwd writes a file that only its owner may read, and leaves other users alone") func passwdWritesFileOnly()
        async throws
    {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "passwd").path()
        try await setPassword("rabbit", of: "alice", in: file, ["--iterations", "1000"])
        let first = try String(contentsOfFile: file, encoding: .utf8)
        #expect(first.hasPrefix("alice:$7$1000$"))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
        try await setPassword("hatter", of: "bob", in: file, ["--scram"])
        let second = try String(contentsOfFile: file, encoding: .utf8)
        #expect(second.hasPrefix(first + "bob:SCRAM-SHA-256$100000:"))
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path()) == ["passwd"])
        #expect(
            try await status("sh", ["-c", "echo x | \"$0\" passwd \"$1\" a:b", SluiceProcess.executable, file]) != 0
        )
    }
}
