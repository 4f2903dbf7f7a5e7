package import BrokerCore
package import NIOCore

/// The core's store, made of an ordered key-value store: turns batches into records and records back.
///
/// docs/STORAGE.md has the layout of keys and the format of records.
package final class DurableStore: Store, @unchecked Sendable {
    // Sendable: everything that changes is touched by the executor's jobs only, which run one at a time; `recover` is
    // called before the first of them, `close` after the last.
    let keyValues: any KeyValueStore
    let clock: @Sendable () -> ClockReading
    let events: (any EventSink)?
    private let durability: Durability
    private let executor: any StoreExecutor
    private let changes = KeyValueBatch()

    /// Takes a key-value store over.
    ///
    /// - Parameters:
    ///   - clock: reads both clocks of the machine.
    ///   - executor: where its work is done.
    /// - Throws: when the key-value store holds something else, or what a newer Sluice has written.
    package init(
        _ keyValues: any KeyValueStore,
        durability: Durability,
        clock: @escaping @Sendable () -> ClockReading = ClockReading.current,
        executor: any StoreExecutor = StoreThread(),
        events: (any EventSink)? = nil
    ) throws(StoreRefused) {
        self.keyValues = keyValues
        self.durability = durability
        self.clock = clock
        self.executor = executor
        self.events = events
        try StoreFormat.claim(keyValues)
    }

    package func recover(now: NIODeadline, _ restore: (RecoveredRecord) -> Void) throws {
        let clock = ClockReading(now: now, unixMilliseconds: clock().unixMilliseconds)
        let recovery = Recovery(keyValues, clock)
        try recovery.run(restore)
        if recovery.removed > 0 {
            events?.note(.storeRepaired, of: nil, level: nil) { [.count(recovery.removed)] }
        }
        if let failure = recovery.failure {
            events?.note(.storeFailed, of: nil, level: .warning) {
                [.reason("\(failure)"), .detail("what belongs to no session is left")]
            }
        }
    }

    package func commit(_ batch: StoreBatch, completion: @escaping @Sendable (StoreFailure?) -> Void) {
        executor.run { [self] in
            let failure = write(batch)
            executor.answer { completion(failure) }
        }
    }

    package func load(
        _ places: [StoredPlace],
        completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
    ) {
        executor.run { [self] in
            let result = Result { () throws(StoreFailure) in try read(places) }
            executor.answer { completion(result) }
        }
    }

    /// Finishes what was handed over, and lets go of the key-value store; nothing may be called after it.
    package func close() {
        executor.drain()
        keyValues.close()
    }

    private func write(_ batch: StoreBatch) -> StoreFailure? {
        do throws(StoreFailure) {
            changes.removeAll()
            try changes.add(batch, clock(), in: keyValues)
            if !changes.isEmpty { try keyValues.write(changes, synced: durability == .strict && batch.needsSync) }
            return nil
        } catch {
            return error
        }
    }

    private func read(_ places: [StoredPlace]) throws(StoreFailure) -> [LoadedMessage?] {
        // The state comes first, so that the message can be read with it.
        let keys = places.flatMap { [RecordKey.delivery($0), RecordKey.message($0.message)] }
        let clock = clock()
        var loaded: [LoadedMessage?] = []
        loaded.reserveCapacity(places.count)
        var state: DeliveryState?
        try keyValues.read(keys) { index, value in
            let place = places[index / 2]
            let isState = index.isMultiple(of: 2)
            if isState { state = nil } else { loaded.append(nil) }
            guard let value else { return }
            var record = RecordReader(value)
            do throws(RecordProblem) {
                if isState {
                    state = try DeliveryState(&record)
                } else {
                    loaded[index / 2] = try LoadedMessage(&record, destination: place.destination, state: state, clock)
                }
            } catch {
                let detail = "the stored message \(place.message.rawValue) can't be read"
                events?.note(.storeFailed, of: nil, level: nil) { [.reason("\(error)"), .detail(detail)] }
            }
        }
        return loaded
    }
}

extension StoreBatch {
    /// Whether losing it with the machine's power would break a promise.
    ///
    /// A delivery that is done and then is not any more is only made once more, with DUP.
    fileprivate var needsSync: Bool {
        guard messages.isEmpty else { return true }
        return changes.contains { change in
            switch change {
            case .removeMessage, .delivery(_, .done): false
            default: true
            }
        }
    }
}
