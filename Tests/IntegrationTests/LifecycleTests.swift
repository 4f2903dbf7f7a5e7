import Foundation
import Testing

/// Starting, stopping, and what is said when that fails.
@Suite(.timeLimit(.minutes(2)))
struct LifecycleTests {
    @Test("[MQTT-3.14.2-1] SIGTERM tells every MQTT 5.0 client Server shutting down, and the exit status is 0")
    func gracefulShutdown() async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let clients = try Client.python("idle_connections.py", ["\(sluice.mqtt)", "1000"])
            defer { clients.kill() }
            #expect(try await clients.line() == "connected 1000")
            #expect(try await sluice.stop() == 0)
            let endings = try JSONDecoder().decode([String: Int].self, from: Data(try await clients.line().utf8))
            #expect(endings == ["e0018b": 1_000])
        }
    }

    @Test("a shutdown ends server-sent events, long-polls, WebSockets and CoAP observers, too")
    func shutdownEndsServerSent() async throws {
        try await SluiceProcess.running { sluice in
            let events = try ClientProcess("curl", ["-sN", "-i"] + sluice.subscribeArguments("a"))
            defer { events.kill() }
            _ = try await events.line("the header") { $0.contains("text/event-stream") }
            let webSocket = try Client.node("mqttjs_subscribe.js", ["ws://127.0.0.1:\(sluice.http)/mqtt", "a"])
            defer { webSocket.kill() }
            _ = try await webSocket.line("subscribed") { $0 == "subscribed" }
            let observer = try ClientProcess(
                "coap-client-notls",
                ["-s", "30", "-B", "30", "-v", "6", sluice.coapURL("a")]
            )
            defer { observer.kill() }
            _ = try await observer.line("the registration's answer") { $0.contains("c:2.05") }
            #expect(try await sluice.stop() == 0)
            _ = await events.remainingLines()
            _ = try await webSocket.line("closed") { $0 == "closed" }
        }
    }

    @Test("a connection that has sent nothing does not hold up a shutdown") func connectionSentNothingDoes()
        async throws
    {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let silent = try ClientProcess("python3", ["-uc", Self.silentClient, "\(sluice.mqtt)"])
            defer { silent.kill() }
            #expect(try await silent.line() == "connected")
            sluice.process.terminate()
            // It would come after the connect timeout, were the shutdown to wait for it.
            #expect(try await silent.line() == "closed by the server, not for want of CONNECT")
            #expect(try await sluice.process.exitStatus() == 0)
        }
    }

    private static let silentClient = """
        import socket, sys, time
        client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        start = time.monotonic()
        print("connected")
        client.recv(1)
        print("closed by the server" + (", not for want of CONNECT" if time.monotonic() - start < 8 else ""))
        """

    @Test(
        "[MQTT-3.1.2-8] SIGTERM publishes the will of every protocol's clients once, and ends in time, whatever peers have left half done",
        arguments: ["coap", "mqtt", "http", "mqtt,http,coap"]
    )
    func hangingPeers(protocols: String) async throws {
        let script = try Client.python("stop_with_hanging_peers.py", [SluiceProcess.executable, protocols])
        defer { script.kill() }
        let stop = try JSONDecoder().decode(Stop.self, from: Data(try await script.line("the figures").utf8))
        #expect(stop.status == 0)
        #expect(stop.wills.count >= 2)
        let once = Dictionary(uniqueKeysWithValues: stop.wills.map { ($0, 1) })
        #expect(stop.came == once)
        // Listeners have a second, webhooks three; peers here would stay for minutes, or for ever.
        #expect(stop.seconds < 15)
    }

    private struct Stop: Decodable {
        let status: Int
        let seconds: Double
        let wills: [String]
        let came: [String: Int]
    }

    @Test("a port that is taken is said in words, and nothing is left running") func portTakenSaidWords() async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let second = try ClientProcess(
                SluiceProcess.executable,
                ["serve", "--config", try file("listeners: [{ protocol: mqtt, bind: \"127.0.0.1:\(sluice.mqtt)\" }]")],
                reading: .standardError
            )
            defer { second.kill() }
            let line = try await second.line("the reason") { $0.contains("cannot listen on 127.0.0.1:\(sluice.mqtt)") }
            #expect(line.contains("mqtt"))
            #expect(try await second.exitStatus() != 0)
        }
    }

    @Test("check says file, line and key") func checkSaysFileLine() async throws {
        let name = try file("listeners: []\nlimits:\n  maximum_packet_sise: 5\n")
        let check = try ClientProcess(SluiceProcess.executable, ["check", "--config", name], reading: .standardError)
        let line = try await check.line("the reason") { $0.contains("limits.maximum_packet_sise") }
        #expect(line.contains("\(name):3: limits.maximum_packet_sise: unknown key; did you mean maximum_packet_size?"))
        #expect(try await check.exitStatus() != 0)
    }

    private func file(_ yaml: String) throws -> String {
        let file = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString).yaml")
        try yaml.write(to: file, atomically: true, encoding: .utf8)
        return file.path()
    }
}
