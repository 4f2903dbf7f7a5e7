import NIOCore
import Testing
import Webhooks

@Suite struct DeliveryScheduleTests {
    typealias Schedule = DeliverySchedule<Int>

    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func make(_ change: (inout Schedule.Rules) -> Void = { _ in }) -> Schedule {
        var rules = Schedule.Rules()
        change(&rules)
        return Schedule(rules)
    }

    private func send(_ schedule: inout Schedule, at now: NIODeadline) throws -> Schedule.Attempt {
        guard case .send(let attempt) = schedule.next(at: now) else { throw Unexpected() }
        return attempt
    }

    private func wait(_ schedule: inout Schedule, at now: NIODeadline) throws -> NIODeadline {
        guard case .wait(let deadline) = schedule.next(at: now) else { throw Unexpected() }
        return deadline
    }

    private func isIdle(_ schedule: inout Schedule, at now: NIODeadline) -> Bool {
        if case .idle = schedule.next(at: now) { true } else { false }
    }

    private func delivered(_ finished: Schedule.Finished) -> [Int]? {
        if case .delivered(let items) = finished { items } else { nil }
    }

    private struct Unexpected: Error {}

    @Test("messages go one after the other, in order")
    func order() throws {
        var schedule = make()
        #expect(isIdle(&schedule, at: start))
        schedule.add([1, 2, 3])
        for number in 1...3 {
            let attempt = try send(&schedule, at: start)
            #expect(attempt.items == [number])
            #expect(isIdle(&schedule, at: start))
            #expect(delivered(schedule.finished(attempt.id, .delivered, at: start, jitter: 0)) == [number])
        }
        #expect(schedule.count == 0)
    }

    @Test("a message that failed is tried again before the next, later each time, within bounds")
    func backoff() throws {
        var schedule = make {
            $0.maximumDelay = .seconds(10)
            $0.failuresToOpen = 1_000
        }
        schedule.add([1, 2])
        var now = start
        for (attempts, seconds) in [1, 2, 4, 8, 10, 10].enumerated() {
            let attempt = try send(&schedule, at: now)
            #expect(attempt.items == [1])
            #expect(attempt.number == attempts + 1)
            _ = schedule.finished(attempt.id, .failed(retryAfter: nil), at: now, jitter: 1)
            #expect(try wait(&schedule, at: now) == now + .seconds(Int64(seconds)))
            now = now + .seconds(Int64(seconds))
        }
        let last = try send(&schedule, at: now)
        #expect(delivered(schedule.finished(last.id, .delivered, at: now, jitter: 0)) == [1])
        #expect(try send(&schedule, at: now).items == [2])
    }

    @Test(
        "chance takes half of the time away at most",
        arguments: [(0.0, 500), (0.5, 750), (1.0, 1_000), (7.0, 1_000)]
    )
    func jitter(jitter: Double, milliseconds: Int64) throws {
        var schedule = make()
        schedule.add([1])
        let attempt = try send(&schedule, at: start)
        _ = schedule.finished(attempt.id, .failed(retryAfter: nil), at: start, jitter: jitter)
        #expect(try wait(&schedule, at: start) == start + .milliseconds(milliseconds))
    }

    @Test("Retry-After is followed, within bounds", arguments: [(7, 7), (0, 1), (100_000, 300)] as [(Int64, Int64)])
    func retryAfter(said: Int64, waited: Int64) throws {
        var schedule = make()
        schedule.add([1])
        let attempt = try send(&schedule, at: start)
        _ = schedule.finished(attempt.id, .failed(retryAfter: .seconds(said)), at: start, jitter: 0)
        #expect(try wait(&schedule, at: start) == start + .seconds(waited))
    }

    @Test("so many attempts are in progress at a time, and no more")
    func concurrency() throws {
        var schedule = make { $0.concurrency = 2 }
        schedule.add([1, 2, 3])
        let first = try send(&schedule, at: start)
        let second = try send(&schedule, at: start)
        #expect(isIdle(&schedule, at: start))
        _ = schedule.finished(second.id, .delivered, at: start, jitter: 0)
        #expect(try send(&schedule, at: start).items == [3])
        // One that waits for its time keeps its place.
        _ = schedule.finished(first.id, .failed(retryAfter: nil), at: start, jitter: 1)
        schedule.add([4])
        #expect(try wait(&schedule, at: start) == start + .seconds(1))
    }

    @Test("failures in a row open the breaker: one attempt at a time until the endpoint is back")
    func breaker() throws {
        var schedule = make {
            $0.concurrency = 3
            $0.failuresToOpen = 3
        }
        schedule.add(Array(1...9))
        let attempts = [try send(&schedule, at: start), try send(&schedule, at: start), try send(&schedule, at: start)]
        for attempt in attempts {
            #expect(schedule.breaker == .closed)
            _ = schedule.finished(attempt.id, .failed(retryAfter: nil), at: start, jitter: 1)
        }
        // Three failures: 4 seconds, though each message by itself would be due in one.
        let open = start + .seconds(4)
        #expect(schedule.breaker == .open(until: open))
        #expect(try wait(&schedule, at: start + .seconds(2)) == open)

        let probe = try send(&schedule, at: open)
        #expect(schedule.breaker == .halfOpen)
        #expect(isIdle(&schedule, at: open))
        _ = schedule.finished(probe.id, .failed(retryAfter: nil), at: open, jitter: 1)
        let later = open + .seconds(8)
        #expect(schedule.breaker == .open(until: later))

        let second = try send(&schedule, at: later)
        #expect(delivered(schedule.finished(second.id, .delivered, at: later, jitter: 0)) != nil)
        #expect(schedule.breaker == .closed)
        // All the others are due at once.
        for _ in 0..<3 { _ = try send(&schedule, at: later) }
    }

    @Test("a batch takes what waits, and is the same at each attempt")
    func batches() throws {
        var schedule = make { $0.batch = 3 }
        schedule.add([1, 2])
        let first = try send(&schedule, at: start)
        #expect(first.items == [1, 2])
        schedule.add([3, 4, 5, 6])
        _ = schedule.finished(first.id, .failed(retryAfter: nil), at: start, jitter: 0)
        let again = try send(&schedule, at: start + .seconds(1))
        #expect(again.items == [1, 2])
        _ = schedule.finished(again.id, .delivered, at: start, jitter: 0)
        #expect(try send(&schedule, at: start).items == [3, 4, 5])
    }

    @Test("a batch has so many bytes, unless one message alone has more")
    func batchBytes() throws {
        var rules = Schedule.Rules()
        rules.batch = 10
        rules.batchBytes = 100
        var schedule = Schedule(rules) { $0 }
        schedule.add([40, 50, 20, 500, 1])
        for expected in [[40, 50], [20], [500], [1]] {
            let attempt = try send(&schedule, at: start)
            #expect(attempt.items == expected)
            _ = schedule.finished(attempt.id, .delivered, at: start, jitter: 0)
        }
    }

    @Test("the messages of a batch that is refused go one by one, and only those refused then are dropped")
    func refused() throws {
        var schedule = make { $0.batch = 3 }
        schedule.add([1, 2, 3, 4])
        let batch = try send(&schedule, at: start)
        if case .none = schedule.finished(batch.id, .refused, at: start, jitter: 0) {} else { Issue.record("dropped") }
        for number in 1...3 {
            let single = try send(&schedule, at: start)
            #expect(single.items == [number])
            let outcome: Schedule.Outcome = number == 2 ? .refused : .delivered
            switch schedule.finished(single.id, outcome, at: start, jitter: 0) {
            case .refused(let items): #expect(items == [2])
            case .delivered(let items): #expect(items == [number])
            case .none: Issue.record("not over")
            }
        }
        #expect(try send(&schedule, at: start).items == [4])
    }

    @Test("nothing is lost, doubled or out of order, whatever the endpoint does", arguments: 0..<50 as Range<UInt64>)
    func random(seed: UInt64) throws {
        var generator = Generator(state: seed)
        var schedule = make {
            $0.batch = Int.random(in: 1...4, using: &generator)
            $0.failuresToOpen = Int.random(in: 1...5, using: &generator)
        }
        var (now, added, taken) = (start, 0, [Int]())
        var inProgress: Schedule.Attempt?
        while taken.count < 100 {
            if added < 100, Bool.random(using: &generator) {
                schedule.add([added])
                added += 1
            }
            if let attempt = inProgress.take() {
                let isGood = Int.random(in: 0..<3, using: &generator) == 0
                let outcome: Schedule.Outcome = isGood ? .delivered : .failed(retryAfter: nil)
                let jitter = Double.random(in: 0...1, using: &generator)
                taken += delivered(schedule.finished(attempt.id, outcome, at: now, jitter: jitter)) ?? []
            }
            switch schedule.next(at: now) {
            case .send(let attempt): inProgress = attempt
            case .wait(let deadline):
                #expect(deadline > now)
                now = deadline
            case .idle: break
            }
        }
        #expect(taken == Array(0..<100))
        #expect(schedule.count == 0)
    }

    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }
}
