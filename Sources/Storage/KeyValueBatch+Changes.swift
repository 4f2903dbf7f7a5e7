import BrokerCore
import MQTTCodec

extension KeyValueBatch {
    /// Turns a batch of the core into changes of records.
    ///
    /// - Parameter store: what is there so far; a session that goes takes its records along.
    func add(_ batch: StoreBatch, _ clock: ClockReading, in store: any KeyValueStore) throws(StoreFailure) {
        for stored in batch.messages where stored.remaining > 0 {
            let end = stored.firstDestination + stored.destinationCount
            put { key in
                key.key(message: stored.number)
            } value: { value in
                value.value(stored.message, batch.destinations[stored.firstDestination..<end], clock)
            }
        }
        let removed = batch.removedSessions
        for change in batch.changes { try add(change, removed, clock, in: store) }
    }

    private func put(_ session: SessionRecord, _ clock: ClockReading) {
        put {
            $0.key(session: session.name)
        } value: {
            $0.value(session, clock)
        }
    }

    /// - Parameter removed: sessions that end in this batch: nothing is stored of them that would have to go at once.
    private func add(
        _ change: StoreChange,
        _ removed: Set<SessionNumber>,
        _ clock: ClockReading,
        in store: any KeyValueStore
    ) throws(StoreFailure) {
        switch change {
        case .session(let session): if !removed.contains(session.number) { put(session, clock) }
        case .removeSession(let name, let session):
            remove { $0.key(session: name) }
            try removeAll(RecordKey.subscriptions(of: session), in: store)
            try removeAll(RecordKey.received(of: session), in: store)
        case .moveSession(let former, _): remove { $0.key(session: former) }
        case .subscription(let subscription, let session):
            guard !removed.contains(session) else { return }
            put {
                $0.key(subscription: subscription.filter, of: session)
            } value: {
                $0.value(subscription)
            }
        case .removeSubscription(let filter, let session):
            remove { $0.key(subscription: filter, of: session) }
        case .received(let packetID, let session):
            guard !removed.contains(session) else { return }
            put {
                $0.key(received: packetID, of: session)
            } value: {
                $0.valueOfReceived()
            }
        case .removeReceived(let packetID, let session):
            remove { $0.key(received: packetID, of: session) }
        case .delivery(let place, let state):
            put {
                $0.key(delivery: place)
            } value: {
                $0.value(state)
            }
        case .removeMessage(let number, let destinations):
            remove { $0.key(message: number) }
            for destination in 0..<max(0, destinations) {
                let place = StoredPlace(message: number, destination: UInt32(truncatingIfNeeded: destination))
                remove { $0.key(delivery: place) }
            }
        case .retained(let message):
            message.withBytes { topic, payload in
                put {
                    $0.key(retained: topic)
                } value: {
                    $0.value(retained: message, payload, clock)
                }
            }
        case .removeRetained(let topic):
            remove { $0.key(retained: topic.string.utf8Span.span.bytes) }
        }
    }

    /// Removes what the store has under a prefix.
    ///
    /// One by one: sessions come and go often, and tombstones of ranges slow every later read down.
    private func removeAll(_ prefix: [UInt8], in store: any KeyValueStore) throws(StoreFailure) {
        try store.scan(prefix: prefix) { key, _ in
            remove { $0.bytes(key.bytes) }
            return true
        }
    }
}

extension StoreBatch {
    fileprivate var removedSessions: Set<SessionNumber> {
        var removed: Set<SessionNumber> = []
        for case .removeSession(_, let session) in changes { removed.insert(session) }
        return removed
    }
}
