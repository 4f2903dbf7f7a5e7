package import BrokerCore
import MQTTCodec
import NIOConcurrencyHelpers
package import NIOCore
import Storage

/// The store of a test: real records, over keys and values in memory.
///
/// It can be held back, made to fail, and crashed.
package final class TestStore: Store {
    fileprivate struct State {
        /// What was handed over while nothing was written.
        var held: [Pending]?
        var time = TestBroker.start
        var readFailure: StoreFailure?
        /// Answers to reads that have not been given yet.
        var heldAnswers: [@Sendable () -> Void]?
    }

    fileprivate struct Pending {
        let batch: StoreBatch
        let completion: @Sendable (StoreFailure?) -> Void
    }

    private let state = NIOLockedValueBox(State())
    private let keyValues = MemoryKeyValueStore()
    private let records: DurableStore

    package init() {
        do {
            records = try Self.records(in: keyValues, clock: { [state] in state.withLockedValue(\.reading) })
        } catch {
            preconditionFailure("an empty store is refused: \(error)")
        }
    }

    private static func records(
        in keyValues: MemoryKeyValueStore,
        clock: @escaping @Sendable () -> ClockReading
    ) throws(StoreRefused) -> DurableStore {
        try DurableStore(
            keyValues,
            durability: .strict,
            clock: clock,
            executor: InlineExecutor()
        )
    }

    /// The test's time, for what is stored as an absolute one.
    package func advance(to time: NIODeadline) { state.withLockedValue { $0.time = time } }

    // MARK: What is written

    /// Batches with something in them.
    package var commits: Int { keyValues.writes - 1 }
    /// Messages that wait for somebody.
    package var messages: Int { get throws { try written { if case .message = $0 { 1 } else { nil } }.count } }
    /// The topics of retained messages.
    package var retainedTopics: Set<String> {
        get throws { Set(try written { if case .retained(let message) = $0 { message.topic.string } else { nil } }) }
    }
    /// Client Identifiers of sessions.
    package var sessions: Set<String> {
        get throws { Set(try written { if case .session(let session) = $0 { session.clientID } else { nil } }) }
    }

    /// Reads a copy, since recovery tidies up.
    private func written<Value>(_ choose: (RecoveredRecord) -> Value?) throws -> [Value] {
        let reading = state.withLockedValue(\.reading)
        var values: [Value] = []
        try Self.records(in: keyValues.afterCrash(), clock: { reading }).recover(now: reading.now) { record in
            if let value = choose(record) { values.append(value) }
        }
        return values
    }

    // MARK: Trouble

    /// From now on nothing is written before `release()`.
    package func hold() { state.withLockedValue { $0.held = $0.held ?? [] } }

    /// Writes what was held, and holds no more.
    package func release() {
        for pending in takeHeld() { records.commit(pending.batch, completion: pending.completion) }
    }

    /// Loses what is held, as a crash does.
    package func crash() { _ = takeHeld() }

    private func takeHeld() -> [Pending] {
        state.withLockedValue { state in
            defer { state.held = nil }
            return state.held ?? []
        }
    }

    /// From now on nothing can be written; nil ends that.
    package func fail(_ failure: StoreFailure?) {
        if let failure { keyValues.fail(nil, failure) } else { keyValues.succeed() }
    }

    /// From now on no message can be read back; nil ends that.
    package func failReading(_ failure: StoreFailure?) { state.withLockedValue { $0.readFailure = failure } }

    /// From now on what is read is not answered before `answerReading()`.
    package func holdReading() { state.withLockedValue { $0.heldAnswers = $0.heldAnswers ?? [] } }

    /// Answers what was read, in order, and holds no more.
    package func answerReading() {
        let answers = state.withLockedValue { state in
            defer { state.heldAnswers = nil }
            return state.heldAnswers ?? []
        }
        for answer in answers { answer() }
    }

    // MARK: Store

    package func recover(now: NIODeadline, _ restore: (RecoveredRecord) -> Void) throws {
        advance(to: now)
        try records.recover(now: now, restore)
    }

    package func commit(_ batch: StoreBatch, completion: @escaping @Sendable (StoreFailure?) -> Void) {
        let isHeld = state.withLockedValue { state in
            state.held?.append(Pending(batch: batch, completion: completion))
            return state.held != nil
        }
        if !isHeld { records.commit(batch, completion: completion) }
    }

    package func load(
        _ places: [StoredPlace],
        completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
    ) {
        if let failure = state.withLockedValue(\.readFailure) { return completion(.failure(failure)) }
        records.load(places) { [state] result in
            let isHeld = state.withLockedValue { state in
                state.heldAnswers?.append { completion(result) }
                return state.heldAnswers != nil
            }
            if !isHeld { completion(result) }
        }
    }
}

extension TestStore.State {
    /// Both clocks of the test: one is the other, cut to milliseconds.
    fileprivate var reading: ClockReading {
        ClockReading(now: time, unixMilliseconds: Int64(time.uptimeNanoseconds / 1_000_000))
    }
}
