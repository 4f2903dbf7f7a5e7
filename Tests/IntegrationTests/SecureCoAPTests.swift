import Foundation
import Testing

/// CoAP over DTLS, TCP and TLS, with libcoap's clients.
@Suite(.timeLimit(.minutes(2)))
struct SecureCoAPTests {
    private static let configuration = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - protocol: coap
            bind: "127.0.0.1:0"
            dtls: { psk_file: devices.psk, certificate: broker.pem, private_key: broker.key, client_ca: ca.pem }
          - { protocol: coap, transport: tcp, bind: "127.0.0.1:0" }
          - protocol: coap
            transport: tcp
            bind: "127.0.0.1:0"
            tls: { certificate: broker.pem, private_key: broker.key, client_ca: ca.pem, identity: san }
        access: { anonymous: true, acl_file: acl }
        log: { format: json }
        """

    private static let list = """
        topic readwrite public/#
        user lamp
        topic readwrite devices/lamp/#
        user lamp.example
        topic readwrite devices/lamp/#
        user app
        topic readwrite #
        """

    private func running(_ body: (SluiceProcess, URL) async throws -> Void) async throws {
        let certificates = try await TLSFolder()
        defer { certificates.remove() }
        let folder = certificates.url
        try Self.list.write(to: folder.appending(path: "acl"), atomically: true, encoding: .utf8)
        try write("lamp:736573616d65\npump:70756d70\n", folder)
        try await SluiceProcess.running(Self.configuration, in: folder) { try await body($0, folder) }
    }

    private func write(_ keys: String, _ folder: URL) throws {
        try keys.write(to: folder.appending(path: "devices.psk"), atomically: true, encoding: .utf8)
    }

    /// What a client prints, errors included.
    private func ask(_ client: String, _ arguments: [String]) async throws -> String {
        try await run("sh", ["-c", "coap-client-\(client) -B 5 \"$@\" 2>&1", "sh"] + arguments).joined(separator: "\n")
    }

    private func expect(_ client: String, _ arguments: [String], prints expected: String) async throws {
        let printed = try await ask(client, arguments)
        #expect(printed == expected)
    }

    private func expectRefusal(_ client: String, _ arguments: [String], _ words: String = "") async throws {
        let printed = try await ask(client, arguments)
        #expect(!printed.isEmpty && !printed.hasSuffix("on") && printed.contains(words.isEmpty ? printed : words))
    }

    private let key = ["-u", "lamp", "-k", "sesame"]

    @Test(
        "a device gets in with its pre-shared key only, and its identity is its user name",
        arguments: ["gnutls", "openssl"]
    )
    func deviceGetsPreShared(client: String) async throws {
        try await running { sluice, _ in
            let own = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/state"
            try await expect(client, key + ["-m", "put", "-e", "on", own], prints: "")
            try await expect(client, key + ["-m", "get", own], prints: "on")
            let other = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/pump/state"
            try await expectRefusal(client, key + ["-m", "put", "-e", "on", other], "4.03")
            let refused = [["-u", "lamp", "-k", "wrong"], ["-u", "nobody", "-k", "sesame"]]
            for credentials in refused {
                try await expectRefusal(client, credentials + ["-m", "get", own])
            }
        }
    }

    @Test("a device gets in with a certificate of the authority only", arguments: ["gnutls", "openssl"])
    func deviceGetsCertificateAuthority(client: String) async throws {
        try await running { sluice, folder in
            func files(_ name: String) -> [String] {
                let path = folder.path()
                return ["-c", "\(path)/\(name).pem", "-j", "\(path)/\(name).key", "-C", "\(path)/ca.pem"]
            }
            let datagrams = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/state"
            let connection = "coaps+tcp://127.0.0.1:\(sluice.coapsTCP)/ps/devices/lamp/state"
            try await expect(client, files("lamp") + ["-m", "put", "-e", "on", datagrams], prints: "")
            for uri in [datagrams, connection] {
                try await expect(client, files("lamp") + ["-m", "get", uri], prints: "on")
                try await expectRefusal(client, files("rogue") + ["-m", "get", uri])
                try await expectRefusal(client, ["-C", "\(folder.path())/ca.pem", "-m", "get", uri])
            }
        }
    }

    @Test(
        "a DTLS device that lost its state gets in again at once from the same port",
        arguments: ["gnutls", "openssl"]
    )
    func dtlsDeviceLostState(client: String) async throws {
        try await running { sluice, _ in
            let port = ["-p", "\(Int.random(in: 20_000...32_000))"]
            let common = port + key
            let filter = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/+"
            let observer = try ClientProcess("coap-client-\(client)", common + ["-w", "-s", "60", "-v", "6", filter])
            _ = try await observer.line("the registration's answer") { $0.contains("c:2.05") }
            observer.kill()
            _ = try await observer.exitStatus()
            let own = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/state"
            try await expect(client, common + ["-m", "put", "-e", "on", own], prints: "")
            try await expect(client, common + ["-m", "get", own], prints: "on")
        }
    }

    @Test("a DTLS device may say goodbye at once: its request is its own, and nothing follows")
    func dtlsDeviceSayGoodbye() async throws {
        try await running { sluice, _ in
            for path in ["ps/devices/lamp/last", "nowhere"] {
                let arguments = ["\(sluice.coaps)", "\(sluice.process.identifier)", path]
                let client = try Client.python("coap_last_words.py", arguments)
                // A ClientHello of the broker's own would be the beginning of another session.
                #expect(try await client.line("the number of ClientHellos") == "0")
            }
            let topic = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/last"
            try await expect("gnutls", key + ["-m", "get", topic], prints: "words")
        }
    }

    @Test("a DTLS device whose first handshake failed gets in from the same port with the next one")
    func dtlsDeviceFirstHandshake() async throws {
        let keysOnly = """
            listeners: [{ protocol: coap, bind: "127.0.0.1:0", dtls: { psk_file: devices.psk } }]
            access: { anonymous: true }
            log: { format: json }
            """
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try write("lamp:736573616d65\n", folder)
        try await SluiceProcess.running(keysOnly, in: folder) { sluice in
            let port = "\(Int.random(in: 20_000...32_000))"
            let hello =
                "timeout 1 openssl s_client -dtls1_2 -bind 127.0.0.1:$0 -connect 127.0.0.1:$1 -cipher AES128-SHA"
            try await run("sh", ["-c", hello + " < /dev/null > /dev/null 2>&1 || true", port, "\(sluice.coaps)"])
            let topic = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/state"
            try await expect("gnutls", ["-p", port] + key + ["-m", "put", "-e", "on", topic], prints: "")
            try await expect("gnutls", key + ["-m", "get", topic], prints: "on")
        }
    }

    @Test("over TLS messages of any size are whole, however they are cut") func overTLSMessagesAny() async throws {
        try await running { sluice, folder in
            let client = try Client.python("coap_connections.py", ["\(sluice.coapsTCP)", folder.path()])
            #expect(try await client.line("the figures") == "257 of 257")
        }
    }

    @Test("at SIGHUP another key is in force, and the session with the old one is over") func sighupAnotherKeyForce()
        async throws
    {
        try await running { sluice, folder in
            let topic = "coaps://127.0.0.1:\(sluice.coaps)/ps/devices/lamp/state"
            let observer = try ClientProcess("coap-client-gnutls", key + ["-w", "-s", "60", "-v", "6", topic])
            defer { observer.kill() }
            _ = try await observer.line("the registration's answer") { $0.contains("c:2.05") }
            try write("lamp:6e6577\n", folder)
            sluice.process.hangUp()
            _ = try await sluice.process.line("read again") { $0.contains("access files read again") }
            try await expectRefusal("gnutls", key + ["-m", "put", "-e", "on", topic])
            try await expect("gnutls", ["-u", "lamp", "-k", "new", "-m", "put", "-e", "on", topic], prints: "")
            try await expect("gnutls", ["-u", "lamp", "-k", "new", "-m", "get", topic], prints: "on")
        }
    }

    @Test("messages reach an observer over TCP, all and in order, large ones whole") func messagesReachObserverOver()
        async throws
    {
        try await running { sluice, folder in
            let base = "coap+tcp://127.0.0.1:\(sluice.coapTCP)/ps/public/"
            let observer = try ClientProcess("coap-client-notls", ["-w", "-s", "60", "-v", "6", base + "a?q=1"])
            defer { observer.kill() }
            _ = try await observer.line("the registration's answer") { $0.contains("2.05") }
            try await run("sh", ["-c", "seq -f 'mqtt %g' 100 | mosquitto_pub -p \(sluice.mqtt) -t public/a -q 1 -l"])
            for number in 1...100 { _ = try await observer.line("mqtt \(number)") { $0.hasSuffix("mqtt \(number)") } }
            let file = folder.appending(path: "large")
            let large = Data((0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            try large.write(to: file)
            try await expect("notls", ["-m", "put", "-f", file.path(), base + "large"], prints: "")
            let copy = folder.appending(path: "copy")
            _ = try await ask("notls", ["-m", "get", "-o", copy.path(), base + "large"])
            let read = try Data(contentsOf: copy)
            #expect(read == large)
        }
    }
}
