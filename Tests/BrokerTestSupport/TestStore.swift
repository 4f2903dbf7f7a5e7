package import BrokerCore
import MQTTCodec
package import NIOCore
import Synchronization

/// A store in memory that a test can hold back, make fail, and crash.
package final class TestStore: Store {
    fileprivate struct Kept {
        var message: Message
        var destinations: [StoredDestination]
    }

    fileprivate struct State {
        var sessions: [String: SessionRecord] = [:]
        var subscriptions: [SessionNumber: [String: SubscriptionRecord]] = [:]
        var received: [SessionNumber: Set<PacketID>] = [:]
        var retained: [TopicName: Message] = [:]
        var messages: [MessageNumber: Kept] = [:]
        var held: [Pending]?
        var failure: StoreFailure?
        var commits = 0
    }

    fileprivate struct Pending {
        let batch: StoreBatch
        let completion: @Sendable (StoreFailure?) -> Void
    }

    private let state = Mutex(State())

    package init() {}

    /// Batches written.
    package var commits: Int { state.withLock { $0.commits } }
    /// Messages that wait for somebody.
    package var messages: [Message] { state.withLock { $0.messages.sorted { $0.key < $1.key }.map(\.value.message) } }
    /// The topics of retained messages.
    package var retainedTopics: Set<String> { state.withLock { Set($0.retained.keys.map(\.string)) } }
    /// Client Identifiers of sessions.
    package var sessions: Set<String> { state.withLock { Set($0.sessions.keys) } }
    /// QoS 2 Packet Identifiers received and not released.
    package var received: Int { state.withLock { $0.received.values.reduce(0) { $0 + $1.count } } }

    /// From now on nothing is written before `release()`.
    package func hold() { state.withLock { $0.held = $0.held ?? [] } }

    /// Writes what was held, and holds no more.
    package func release() {
        let held = state.withLock { state in
            defer { state.held = nil }
            return state.held ?? []
        }
        for pending in held { commit(pending.batch, completion: pending.completion) }
    }

    /// Loses what is held, as a crash does.
    package func crash() { state.withLock { $0.held = nil } }

    /// From now on nothing can be written; nil ends that.
    package func fail(_ failure: StoreFailure?) { state.withLock { $0.failure = failure } }

    package func recover(now: NIODeadline, _ restore: (RecoveredRecord) -> Void) {
        state.withLock { state in
            for session in state.sessions.values {
                restore(.session(session))
                for subscription in state.subscriptions[session.number, default: [:]].values {
                    restore(.subscription(subscription, of: session.number))
                }
                for packetID in state.received[session.number, default: []] {
                    restore(.received(packetID, of: session.number))
                }
            }
            for message in state.retained.values { restore(.retained(message)) }
            for (number, kept) in state.messages.sorted(by: { $0.key < $1.key }) {
                restore(
                    .message(
                        RecoveredMessage(
                            number: number,
                            size: kept.message.size,
                            expiresAt: kept.message.expiresAt,
                            destinations: kept.destinations
                        )
                    )
                )
            }
        }
    }

    package func commit(_ batch: StoreBatch, completion: @escaping @Sendable (StoreFailure?) -> Void) {
        enum Outcome {
            case held
            case failed(StoreFailure)
            case written
        }
        let outcome = state.withLock { state -> Outcome in
            if let failure = state.failure { return .failed(failure) }
            if state.held != nil {
                state.held?.append(Pending(batch: batch, completion: completion))
                return .held
            }
            state.apply(batch)
            return .written
        }
        switch outcome {
        case .held: return
        case .failed(let failure): completion(failure)
        case .written: completion(nil)
        }
    }

    package func load(
        _ places: [StoredPlace],
        completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
    ) {
        let loaded = state.withLock { state in
            places.map { place -> LoadedMessage? in
                guard let kept = state.messages[place.message] else { return nil }
                return LoadedMessage(
                    message: kept.message,
                    destination: kept.destinations[Int(place.destination)]
                )
            }
        }
        completion(.success(loaded))
    }
}

extension TestStore.State {
    fileprivate mutating func apply(_ batch: StoreBatch) {
        commits += 1
        for stored in batch.messages where stored.remaining > 0 {
            let range = stored.firstDestination..<stored.firstDestination + stored.destinationCount
            messages[stored.number] = TestStore.Kept(
                message: stored.message,
                destinations: Array(batch.destinations[range])
            )
        }
        for change in batch.changes { apply(change) }
    }

    private mutating func apply(_ change: StoreChange) {
        switch change {
        case .session(let record): sessions[record.clientID] = record
        case .removeSession(let clientID, let number):
            sessions[clientID] = nil
            subscriptions[number] = nil
            received[number] = nil
        case .subscription(let record, let number): subscriptions[number, default: [:]][record.filter] = record
        case .removeSubscription(let filter, let number): subscriptions[number]?[filter] = nil
        case .received(let packetID, let number): received[number, default: []].insert(packetID)
        case .removeReceived(let packetID, let number): received[number]?.remove(packetID)
        case .delivery(let place, let state):
            messages[place.message]?.destinations[Int(place.destination)].state = state
        case .removeMessage(let number, _): messages[number] = nil
        case .retained(let message): retained[message.topic] = message
        case .removeRetained(let topic): retained[topic] = nil
        }
    }
}
