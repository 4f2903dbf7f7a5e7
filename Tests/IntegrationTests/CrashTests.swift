import Foundation
import Testing

/// The broker is killed again and again while clients publish and subscribe.
@Suite(.timeLimit(.minutes(5)))
struct CrashTests {
    @Test(
        "what was acknowledged before SIGKILL is delivered, QoS 2 exactly once",
        arguments: [(durability: "strict", rounds: 50), (durability: "process", rounds: 10)]
    )
    func crash(_ durability: String, _ rounds: Int) async throws {
        let seed = Int.random(in: 0..<1_000_000)
        let client = try Client.python(
            "crash.py",
            [SluiceProcess.executable, "\(rounds)", durability, "\(seed)"]
        )
        defer { client.kill() }
        let line = try await client.line("the figures of seed \(seed)") { $0.hasPrefix("{") }
        let figures = try JSONDecoder().decode(Figures.self, from: Data(line.utf8))
        #expect(figures.rounds == rounds && figures.kills >= rounds)
        // Each round was a real one: killed while messages were on their way.
        #expect(figures.acknowledgedQoS1 > 10 * rounds && figures.acknowledgedQoS2 > 10 * rounds)
        #expect(figures.retainedChecked > rounds && figures.subscriptionsChecked >= rounds)
        #expect(try await client.exitStatus() == 0, "seed \(seed): \(line)")
    }

    @Test(
        "what waits for sleeping CoAP devices at SIGKILL comes when they return, all of it and in order",
        arguments: [(kills: 1, devices: 50, messages: 20, loss: 0), (2, 50, 20, 0), (2, 20, 4, 30)]
    )
    func sleepers(kills: Int, devices: Int, messages: Int, loss: Int) async throws {
        let client = try Client.python(
            "coap_sleepers.py",
            [SluiceProcess.executable, "\(devices)", "\(messages)", "\(kills)", "\(loss)"]
        )
        defer { client.kill() }
        let line = try await client.line("the figures") { $0.hasPrefix("{") }
        let figures = try JSONDecoder().decode(SleeperFigures.self, from: Data(line.utf8))
        #expect(figures.delivered == devices * messages && figures.missing == 0 && figures.outOfOrder == 0)
        // Their tokens are those of the broker that died, their sessions are still there.
        if loss == 0 {
            #expect(figures.answers == ["2.01": devices, "4.01": devices * kills, "2.04": devices * (kills + 1)])
            if kills == 1 { #expect(figures.duplicates == 0) }
        }
        #expect(try await client.exitStatus() == 0, "\(line)")
    }

    @Test("paho-mqtt's messages survive SIGKILL, QoS 2 exactly once", arguments: [4, 5])
    func paho(protocolVersion: Int) async throws {
        let kills = 5
        let client = try Client.python("paho_crash.py", [SluiceProcess.executable, "\(kills)", "\(protocolVersion)"])
        defer { client.kill() }
        let line = try await client.line("the figures") { $0.hasPrefix("{") }
        let figures = try JSONDecoder().decode(PahoFigures.self, from: Data(line.utf8))
        #expect(figures.kills == kills && figures.acknowledged > 10 * kills)
        #expect(try await client.exitStatus() == 0, "\(line)")
    }

    private struct PahoFigures: Decodable {
        let kills: Int
        let acknowledged: Int
    }

    private struct SleeperFigures: Decodable {
        let delivered: Int
        let missing: Int
        let duplicates: Int
        let outOfOrder: Int
        let answers: [String: Int]
    }

    private struct Figures: Decodable {
        let rounds: Int
        let kills: Int
        let acknowledgedQoS1: Int
        let acknowledgedQoS2: Int
        let retainedChecked: Int
        let subscriptionsChecked: Int
    }
}
