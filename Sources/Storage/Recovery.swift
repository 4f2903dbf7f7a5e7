import BrokerCore
import MQTTCodec
import NIOCore

/// Goes through all records once, at the start.
///
/// What belongs to a session that is not there any more is removed: messages, subscriptions and Packet Identifiers can
/// outlive it when its end and theirs were written in different batches. A new session may get its number. Messages of
/// shared subscriptions stay: other members are still to get them.
final class Recovery {
    private let store: any KeyValueStore
    private let clock: ClockReading
    private var sessions: Set<SessionNumber> = []
    private var assembly = MessageAssembly()
    private let garbage = KeyValueBatch()
    /// Records removed.
    private(set) var removed = 0
    /// Why records that should have been removed are still there; the next start will try again.
    private(set) var failure: StoreFailure?

    /// Records removed in one batch.
    private static let garbageBatch = 4_096

    init(_ store: any KeyValueStore, _ clock: ClockReading) {
        self.store = store
        self.clock = clock
    }

    /// Hands everything over: sessions, the rest of them, retained messages, messages.
    ///
    /// - Throws: at the first record that can't be used.
    func run(_ restore: (RecoveredRecord) -> Void) throws(StoreRefused) {
        for kind in [RecordKind.session, .subscription, .received, .retained, .message] {
            try scan(kind, restore)
        }
        finishMessage(restore)
        removeGarbage()
    }

    private func scan(_ kind: RecordKind, _ restore: (RecoveredRecord) -> Void) throws(StoreRefused) {
        var refused: StoreRefused?
        do throws(StoreFailure) {
            try store.records(kind, clock) { key, record in
                do throws(RecordProblem) {
                    try take(try record.get(), key, restore)
                    return true
                } catch {
                    refused = refusal(key, error)
                    return false
                }
            }
        } catch {
            throw StoreRefused(error.description)
        }
        if let refused { throw refused }
    }

    private func take(
        _ record: Record,
        _ key: UnsafeRawBufferPointer,
        _ restore: (RecoveredRecord) -> Void
    ) throws(RecordProblem) {
        switch record {
        case .session(let session):
            sessions.insert(session.number)
            restore(.session(session))
        case .subscription(let subscription, let session):
            guard sessions.contains(session) else { return discard(key) }
            restore(.subscription(subscription, of: session))
        case .received(let packetID, let session):
            guard sessions.contains(session) else { return discard(key) }
            restore(.received(packetID, of: session))
        case .retained(let message): restore(.retained(message))
        case .message(let message):
            finishMessage(restore)
            assembly.begin(message)
        case .delivery(let place, let state): try assembly.take(state, of: place)
        }
    }

    /// The records of the message before are complete.
    private func finishMessage(_ restore: (RecoveredRecord) -> Void) {
        guard let message = assembly.whole(sessions.contains) else { return }
        if message.destinations.allSatisfy({ $0.state == .done }) {
            discard(RecordKey.message(message.number))
            for destination in assembly.changed {
                discard(RecordKey.delivery(StoredPlace(message: message.number, destination: destination)))
            }
        } else {
            for destination in assembly.ownerless(sessions.contains) {
                finish(StoredPlace(message: message.number, destination: destination))
            }
            restore(.message(message))
        }
    }

    private func finish(_ place: StoredPlace) {
        guard failure == nil else { return }
        garbage.put {
            $0.key(delivery: place)
        } value: {
            $0.value(.done)
        }
        if garbage.count >= Self.garbageBatch { removeGarbage() }
    }

    private func discard(_ key: UnsafeRawBufferPointer) { discard(Array(key)) }

    private func discard(_ key: [UInt8]) {
        guard failure == nil else { return }
        garbage.remove(key)
        if garbage.count >= Self.garbageBatch { removeGarbage() }
    }

    private func removeGarbage() {
        guard !garbage.isEmpty else { return }
        do throws(StoreFailure) {
            try store.write(garbage, synced: false)
            removed += garbage.count
        } catch {
            failure = error
        }
        garbage.removeAll()
    }

    private func refusal(_ key: UnsafeRawBufferPointer, _ problem: RecordProblem) -> StoreRefused {
        switch problem {
        case .newer(let version, let latest):
            StoreRefused(
                "\(store.name): \(describe(key)): written by a newer Sluice (record version \(version), this one reads "
                    + "up to \(latest)); start the newer one, or restore a backup"
            )
        case .damaged(let words):
            StoreRefused(
                "\(store.name): \(describe(key)) is damaged: \(words); restore a backup, or let go of what is damaged "
                    + "with sluice store check --remove-damaged"
            )
        }
    }
}
