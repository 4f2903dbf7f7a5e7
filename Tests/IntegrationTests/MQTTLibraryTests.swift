import Testing

/// MQTT libraries that applications are built with, over TCP, in both versions.
@Suite(.timeLimit(.minutes(1)))
struct MQTTLibraryTests {
    @Test("a Python library gets back what it publishes, at each QoS", arguments: ["aiomqtt", "gmqtt"], [4, 5])
    func pythonLibraryGetsBack(library: String, version: Int) async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            for qos in 0...2 {
                let client = try Client.python(
                    "\(library)_roundtrip.py",
                    ["\(sluice.mqtt)", "50", "\(qos)", "\(version)"]
                )
                defer { client.kill() }
                #expect(try await client.lines(50) == (0..<50).map { "\($0)" })
            }
        }
    }

    @Test("MQTT.js gets what it subscribes to", arguments: [4, 5])
    func mqttJsGetsSubscribes(version: Int) async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let client = try Client.node(
                "mqttjs_subscribe.js",
                ["mqtt://127.0.0.1:\(sluice.mqtt)", "a/+", "\(version)"]
            )
            defer { client.kill() }
            _ = try await client.line("subscribed") { $0 == "subscribed" }
            try await run("sh", ["-c", "seq 10 | mosquitto_pub -p \(sluice.mqtt) -t a/b -q 1 -l"])
            #expect(try await client.lines(10) == (1...10).map { "a/b \($0)" })
        }
    }

    /// Paho C: the subscriber says nothing once it has subscribed, so what it gets is retained.
    @Test("Paho C publishes and subscribes", arguments: ["311", "5"], ["0", "1", "2"])
    func pahoCPublishesSubscribes(version: String, qos: String) async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let common = ["-h", "127.0.0.1", "-p", "\(sluice.mqtt)", "-V", version, "-q", qos]
            try await run("paho_c_pub", common + ["-t", "a/b", "-m", "hello", "--retained"])
            let subscriber = try ClientProcess("paho_c_sub", common + ["-t", "a/#"])
            defer { subscriber.kill() }
            #expect(try await subscriber.line("the message") { $0.contains("a/b") }.hasSuffix("hello"))
        }
    }
}
