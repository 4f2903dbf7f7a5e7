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
        let count = number("SLUICE_MODEL_SCHEDULES") ?? 2_000
        return 0..<(count + perTest - 1) / perTest
    }

    @Test("does what a model of the standard does, whatever its clients do", arguments: tests)
    func schedules(_ test: UInt64) {
        let first = (Self.number("SLUICE_MODEL_SEED") ?? 0) + test * Self.perTest
        for seed in first..<first + Self.perTest {
            let schedule = Schedule(seed: seed)
            do {
                try ModelRun.check(schedule)
            } catch {
                Self.report(schedule)
                return
            }
        }
    }

    private static func report(_ schedule: Schedule) {
        let shrunk = schedule.shrunk { (try? ModelRun.check($0)) == nil }
        let run = ModelRun(shrunk, isRecording: true)
        let lines: [String]
        do {
            try run.run()
            lines = ["It does not fail again."]
        } catch {
            lines = run.transcript + ["\(error)"]
        }
        Issue.record("SLUICE_MODEL_SEED=\(schedule.seed), \(shrunk.setting):\n\(lines.joined(separator: "\n"))")
    }
}
