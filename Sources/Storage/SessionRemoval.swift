package import BrokerCore

/// Removes sessions from a store that no broker has, with what belongs to them alone.
///
/// Their Wills are not published. Messages of shared subscriptions stay: at the next start they go to other members.
package struct SessionRemoval {
    /// The sessions that were there.
    package let removed: [SessionName]
    /// Why messages that waited for them are still there; the next start removes them.
    package let leftMessages: StoreRefused?

    /// - Throws: when nothing was removed.
    package init(
        _ names: [SessionName],
        from store: any KeyValueStore,
        clock: ClockReading = .current()
    ) throws(StoreRefused) {
        let batch = KeyValueBatch()
        var removed: [SessionName] = []
        do throws(StoreFailure) {
            guard try StoreFormat.check(store) != nil else {
                throw StoreFailure("\(store.name): there is nothing in it")
            }
            for name in Set(names) {
                let key = RecordKey.session(name)
                let number = try Self.number(of: key, in: store, clock)
                guard let number else { continue }
                batch.remove(key)
                for prefix in [RecordKey.subscriptions(of: number), RecordKey.received(of: number)] {
                    try store.scan(prefix: prefix) { key, _ in
                        batch.remove(Array(key))
                        return true
                    }
                }
                removed.append(name)
            }
            if !batch.isEmpty { try store.write(batch, synced: true) }
        } catch {
            throw StoreRefused(error.description)
        }
        self.removed = removed
        leftMessages = removed.isEmpty ? nil : Self.removeMessages(in: store, clock)
    }

    /// - Throws: when the session's record can't be read.
    private static func number(
        of key: [UInt8],
        in store: any KeyValueStore,
        _ clock: ClockReading
    ) throws(StoreFailure) -> SessionNumber? {
        var found: Result<Record, RecordProblem>?
        try store.read([key]) { _, value in
            guard let value else { return }
            found = key.withUnsafeBytes { key in
                Result { () throws(RecordProblem) in try Record(.session, key: key, value: value, clock) }
            }
        }
        switch found {
        case nil: return nil
        case .success(.session(let session)): return session.number
        case .success: return nil
        case .failure(let problem):
            throw StoreFailure("\(store.name): \(key.withUnsafeBytes(describe)): \(problem)")
        }
    }

    /// As at any start: what belongs to no session that is there goes.
    private static func removeMessages(in store: any KeyValueStore, _ clock: ClockReading) -> StoreRefused? {
        let recovery = Recovery(store, clock)
        do throws(StoreRefused) {
            try recovery.run { _ in }
        } catch {
            return error
        }
        return recovery.failure.map { StoreRefused($0.description) }
    }
}
