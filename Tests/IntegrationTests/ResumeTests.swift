import Foundation
import Testing

/// Event streams that are cut off and resumed by Last-Event-ID, and brokers that are killed meanwhile.
@Suite(.timeLimit(.minutes(5)))
struct ResumeTests {
    /// `SLUICE_RESUME_MESSAGES=100000 SLUICE_RESUME_CUTS=100` make it a longer one.
    private static let messages = number("MESSAGES") ?? 10_000
    private static let cuts = number("CUTS") ?? 40

    private static func number(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment["SLUICE_RESUME_\(name)"].flatMap { Int($0) }
    }

    @Test(
        "a stream that is cut off again and again misses nothing and repeats nothing, though the broker is killed",
        arguments: [0, number("KILLS") ?? 5]
    )
    func resume(kills: Int) async throws {
        let seed = Int.random(in: 0..<1_000_000)
        let client = try Client.python(
            "sse_resume.py",
            [SluiceProcess.executable, "\(Self.messages)", "\(Self.cuts)", "\(kills)", "\(seed)"]
        )
        defer { client.kill() }
        let line = try await client.line("the figures of seed \(seed)") { $0.hasPrefix("{") }
        let figures = try JSONDecoder().decode(Figures.self, from: Data(line.utf8))
        #expect(figures.cuts == Self.cuts && figures.kills == kills)
        #expect(figures.acknowledged > figures.messages / 2)
        #expect(figures.missing == 0 && figures.repeated == 0 && figures.outOfOrder == 0 && figures.resets == 0)
        #expect(try await client.exitStatus() == 0, "seed \(seed): \(line)")
    }

    private struct Figures: Decodable {
        let messages: Int
        let acknowledged: Int
        let cuts: Int
        let kills: Int
        let missing: Int
        let repeated: Int
        let outOfOrder: Int
        let resets: Int
    }
}
