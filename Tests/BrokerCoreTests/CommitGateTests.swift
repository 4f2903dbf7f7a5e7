import MQTTCodec
import NIOCore
import Testing

@testable import BrokerCore

/// What waits for the store, without a broker: batches are handed over and written when the test says so.
struct CommitGateTests {
    /// Takes batches, and writes nothing.
    private final class UnwrittenStore: Store {
        func recover(now: NIODeadline, _ restore: (RecoveredRecord) -> Void) {}
        func commit(_ batch: StoreBatch, completion: @escaping @Sendable (StoreFailure?) -> Void) {}
        func load(
            _ places: [StoredPlace],
            completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
        ) {}
    }

    private func makeGate(_ durability: Durability = .strict) -> CommitGate {
        CommitGate(store: UnwrittenStore(), durability: durability, epoch: 0)
    }

    /// Something changes that a client waits for.
    ///
    /// - Returns: the number of the batch that it waits for.
    private func change(_ gate: CommitGate, _ topic: String = "a") throws -> UInt64 {
        let journal = try #require(gate.journal)
        journal.append(.removeRetained(try TopicName(topic)))
        return journal.openNumber
    }

    private func handOver(_ gate: CommitGate) throws {
        #expect(gate.due(evenLazy: false) == .now)
        try #require(gate.journal).commit { _, _ in }
    }

    @Test("an answer waits until its batch is written")
    func waits() throws {
        let gate = makeGate()
        let batch = try change(gate)
        #expect(!gate.isDurable(batch))
        var answers: [Bool] = []
        gate.whenDurable(batch) { answers.append($0) }
        try handOver(gate)
        let outcome = gate.committed(batch, nil)
        for done in outcome.answered { done(true) }
        #expect(answers == [true])
        #expect(gate.isDurable(batch))
    }

    @Test("changes that come while the store writes are for the next batch, which is due when the store has answered")
    func nextBatch() throws {
        let gate = makeGate()
        let first = try change(gate)
        try handOver(gate)
        let second = try change(gate, "b")
        #expect(second == first + 1)
        #expect(!gate.wantsTick())
        _ = gate.committed(first, nil)
        #expect(gate.wantsTick())
        #expect(gate.isDurable(first))
        #expect(!gate.isDurable(second))
    }

    @Test("where durability is none, answers wait for nothing, and a clean stop waits for all")
    func noDurability() throws {
        let gate = makeGate(.none)
        let batch = try change(gate)
        #expect(gate.isDurable(batch))
        var answers: [Bool] = []
        gate.whenAllWritten { answers.append($0) }
        try handOver(gate)
        #expect(answers.isEmpty)
        for done in gate.committed(batch, nil).answered { done(true) }
        #expect(answers == [true])
    }

    @Test("a store that can't write is told to all who wait, and refuses until it has written again")
    func failure() throws {
        let gate = makeGate()
        let batch = try change(gate)
        var answers: [Bool] = []
        gate.whenDurable(batch) { answers.append($0) }
        try handOver(gate)
        let failed = gate.committed(batch, StoreFailure("no space"))
        #expect(failed.answered.count == 1)
        #expect(gate.isRefusing)
        gate.whenDurable(batch) { answers.append($0) }
        #expect(answers == [false])
        let written = gate.committed(batch, nil)
        #expect(written.hasRecovered)
        #expect(!gate.isRefusing)
    }

    @Test("the end of a stored session is waited for by the next one of its name until it is written")
    func unwrittenEnd() throws {
        let gate = makeGate()
        let batch = try change(gate)
        gate.noteEnd(of: .client("a"))
        #expect(gate.batchOfEnd(of: .client("a")) == batch)
        #expect(gate.batchOfEnd(of: .client("b")) == 0)
        try handOver(gate)
        _ = gate.committed(batch, nil)
        #expect(gate.batchOfEnd(of: .client("a")) == 0)
    }

    @Test("without a store nothing waits")
    func noStore() {
        let gate = CommitGate(store: nil, durability: .strict, epoch: 0)
        #expect(gate.isDurable(.max))
        #expect(!gate.wantsTick())
        #expect(gate.due(evenLazy: true) == .nothing)
    }
}
