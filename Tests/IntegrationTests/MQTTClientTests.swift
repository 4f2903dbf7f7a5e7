import Foundation
import Testing

/// MQTT clients that people use, over TCP.
@Suite(.timeLimit(.minutes(1)))
struct MQTTClientTests {
    private struct Arrived: Decodable, Equatable {
        var received: Int
        var different: Int
        var inOrder: Bool
    }

    /// Protocol versions as paho-mqtt numbers them: 3.1.1 and 5.0.
    // [MQTT-4.2.0-1] [MQTT-4.3.3-10] [MQTT-7.0.0-2 of 3.1.1]
    @Test("paho-mqtt to paho-mqtt at QoS 2: none lost, none twice, in order", arguments: [4, 5])
    func exactlyOnce(version: Int) async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let client = try Client.python("paho_exactly_once.py", ["\(sluice.mqtt)", "10000", "\(version)"])
            defer { client.kill() }
            let arrived = try JSONDecoder().decode(Arrived.self, from: Data(try await client.line().utf8))
            #expect(arrived == Arrived(received: 10_000, different: 10_000, inOrder: true))
        }
    }

    @Test("mosquitto_pub reaches mosquitto_sub", arguments: ["311", "5"], [0, 1, 2])
    func mosquittoPubReachesMosquitto(version: String, qos: Int) async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let common = ["-p", "\(sluice.mqtt)", "-V", version, "-q", "\(qos)", "-t", "a/b"]
            let subscriber = try ClientProcess("mosquitto_sub", common + ["-d", "-C", "3", "-F", "%q %p"])
            defer { subscriber.kill() }
            _ = try await subscriber.line("Subscribed") { $0.contains("Subscribed") }
            try await run("sh", ["-c", "seq 3 | mosquitto_pub \(common.joined(separator: " ")) -l"])
            for number in 1...3 { _ = try await subscriber.line("\(number)") { $0 == "\(qos) \(number)" } }
            #expect(try await subscriber.exitStatus() == 0)
        }
    }

    @Test(
        "[MQTT-3.1.2-23] [MQTT-4.5.0-1] a persistent session gets what was published while it was away",
        arguments: ["311", "5"]
    )
    func persistentSession(version: String) async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let session = ["-p", "\(sluice.mqtt)", "-V", version, "-i", "dashboard", "-c", "-q", "1", "-t", "alarms/#"]
            let expiry = version == "5" ? ["-x", "3600"] : []
            try await run("mosquitto_sub", session + expiry + ["-E"])
            try await run("sh", ["-c", "seq 5 | mosquitto_pub -p \(sluice.mqtt) -t alarms/fire -q 1 -l"])
            let waiting = try await run("mosquitto_sub", session + expiry + ["-C", "5"])
            #expect(waiting == ["1", "2", "3", "4", "5"])
        }
    }

    @Test("[MQTT-3.1.2-8] the will of a client that dies is published")
    func will() async throws {
        try await SluiceProcess.running(SluiceProcess.mqttOnly) { sluice in
            let watcher = try ClientProcess("mosquitto_sub", ["-p", "\(sluice.mqtt)", "-t", "status/+", "-v", "-d"])
            defer { watcher.kill() }
            _ = try await watcher.line("Subscribed") { $0.contains("Subscribed") }
            let device = try ClientProcess(
                "mosquitto_sub",
                ["-p", "\(sluice.mqtt)", "-t", "x", "-d", "--will-topic", "status/device", "--will-payload", "gone"]
            )
            _ = try await device.line("Subscribed") { $0.contains("Subscribed") }
            device.kill()
            #expect(try await watcher.line("the will") { $0.hasPrefix("status/") } == "status/device gone")
        }
    }
}
