import Foundation
import Testing

/// The broker against a model of the standard, over random schedules.
///
/// `SLUICE_MODEL_SCHEDULES` sets how many, `SLUICE_MODEL_SEED` the first one's seed.
@Suite struct ModelTests {
    private static let perTest: UInt64 = 100

    private static func number(_ variable: String) -> UInt64? {
        ProcessInfo.processInfo.environment[variable].flatMap { UInt64($0) }
    }

    private static var tests: Range<UInt64> {
        let count = number("SLUICE_MODEL_SCHEDULES") ?? 3_000
        return 0..<(count + perTest - 1) / perTest
    }

    @Test("does what a model of the standard does, whatever its clients do", arguments: tests)
    func schedules(_ test: UInt64) {
        let first = (Self.number("SLUICE_MODEL_SEED") ?? 0) + test * Self.perTest
        for seed in first..<first + Self.perTest {
            let schedule = Schedule(seed: seed)
            guard (try? ModelRun.check(schedule)) == nil else { continue }
            let shrunk = schedule.shrunk { (try? ModelRun.check($0)) == nil }
            let words = ModelRun.transcript(of: shrunk).joined(separator: "\n")
            Issue.record("SLUICE_MODEL_SEED=\(seed), \(shrunk.setting):\n\(words)")
            return
        }
    }

    @Test("the schedules come to everything the model looks at")
    func landmarks() {
        let landmarks = [
            "DUP", "RETAIN", "QoS 2 id", "identifiers [", "identifiers [100]", "Message Expiry Interval 1",
            "PUBLISH alias",
            "CONNACK Success session present", "DISCONNECT Session taken over", "DISCONNECT Keep Alive timeout",
            "DISCONNECT Quota exceeded", "DISCONNECT Protocol Error", "No matching subscribers",
            "No subscription existed",
            "Packet Identifier not found", "PUBLISH w/c0 w", "large",
        ]
        var missing = Set(landmarks)
        for seed in 0..<2_000 as Range<UInt64> where !missing.isEmpty {
            let words = ModelRun.transcript(of: Schedule(seed: seed)).filter { $0.contains("to c") }
            missing = missing.filter { landmark in !words.contains { $0.contains(landmark) } }
        }
        #expect(missing.isEmpty)
    }

    @Test("in the schedules messages of shared subscriptions go from one member to another")
    func passedOn() throws {
        var passedOn = (sent: 0, waiting: 0)
        for seed in 0..<300 as Range<UInt64> {
            let run = ModelRun(Schedule(seed: seed))
            try run.run()
            passedOn.sent += run.model.passedOn.sent
            passedOn.waiting += run.model.passedOn.waiting
        }
        #expect(passedOn.sent >= 10 && passedOn.waiting >= 10)
    }
}
