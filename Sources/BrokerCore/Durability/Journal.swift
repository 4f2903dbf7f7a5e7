import MQTTCodec
import NIOCore

/// The core's changes that the store has not written yet.
///
/// Changes gather in the open batch while the store writes the one before it: group commit without a timer. A message
/// whose deliveries are all done before its batch is handed over is never written.
///
/// Confined to the core loop.
final class Journal {
    /// The number of lazy changes, which no client waits for, at which they are handed over at the latest.
    static let maximumLazy = 4_096

    private let store: any Store
    @exclusivity(unchecked) private var open: StoreBatch
    /// Number of the open batch's first message.
    @exclusivity(unchecked) private var openFirst: UInt64
    /// The other changes of the open batch.
    private var changes = OpenChanges()
    /// Bytes in memory of the open batch's messages and their destinations.
    @exclusivity(unchecked) private var messageBytes = 0
    /// Whether an answer waits for the open batch.
    @exclusivity(unchecked) private(set) var isAwaited = false
    /// The batch that was handed over and is not known to be durable.
    private var committing: StoreBatch?
    private var committingFirst: UInt64 = 0
    @exclusivity(unchecked) private var nextMessage: UInt64
    /// States of deliveries that have changed since their message was handed over; only the last state counts.
    private var states: [StoredPlace: DeliveryState] = [:]
    /// Messages of handed-over batches for several sessions.
    private var shared: [MessageNumber: SharedMessage] = [:]
    /// Messages of handed-over batches for one session whose delivery has a separate state in the store.
    private var overridden: Set<MessageNumber> = []
    /// The store's failure; nil when it writes.
    private(set) var failure: StoreFailure?
    /// Counts the changes for which answers may have to wait.
    @exclusivity(unchecked) private(set) var writes: UInt64 = 0

    /// - Parameter epoch: a number above that of every message stored before.
    init(store: any Store, epoch: UInt64) {
        self.store = store
        open = StoreBatch(number: 1)
        nextMessage = epoch + 1
        openFirst = nextMessage
    }

    /// The number of the open batch.
    var openNumber: UInt64 { open.number }

    /// Whether the store is writing a batch.
    var isCommitting: Bool { committing != nil }

    /// Whether there are no changes to write.
    var isEmpty: Bool { open.messages.isEmpty && changes.isEmpty && states.isEmpty }

    /// Bytes in memory of the open batch.
    var bytes: Int { messageBytes + changes.bytes + states.count * 64 }

    /// Whether new changes are to be refused: the store can't write, or does not keep up.
    var isRefusing: Bool { failure != nil || bytes > Limits.unwrittenBytes }

    // MARK: Changes

    /// Adds a change that an answer waits for.
    func append(_ change: StoreChange) {
        changes.append(change)
        writes &+= 1
        isAwaited = true
    }

    /// Adds a message, whose destinations are added next.
    @inline(__always)
    private func add(_ message: Message) -> MessageNumber {
        let number = MessageNumber(rawValue: nextMessage)
        nextMessage += 1
        open.messages.append(
            StoredMessage(
                number: number,
                message: message,
                firstDestination: open.destinations.count,
                destinationCount: 0,
                remaining: 0
            )
        )
        messageBytes += message.cost + 64
        writes &+= 1
        isAwaited = true
        return number
    }

    /// Adds a destination of a message.
    ///
    /// - Parameter number: the message's number, or `.none` for its first destination. The message is added again when
    ///   another message, or another batch, has begun since.
    @inline(__always)
    func add(_ destination: StoredDestination, of message: Message, as number: inout MessageNumber) -> StoredPlace {
        if number.rawValue + 1 != nextMessage || open.messages.isEmpty { number = add(message) }
        let index = open.messages.count - 1
        let place = StoredPlace(message: number, destination: UInt32(open.messages[index].destinationCount))
        open.destinations.append(destination)
        messageBytes += 96
        open.messages[index].destinationCount += 1
        open.messages[index].remaining += 1
        return place
    }

    /// Notes that an answer waits for the open batch, so that it is handed over at the end of the tick.
    func requestCommit() { isAwaited = !isEmpty }

    /// Sets the state of a delivery that is not done.
    func set(_ state: DeliveryState, of place: StoredPlace) {
        guard place.message != .none else { return }
        if let index = openIndex(of: place) {
            open.destinations[index].state = state
        } else {
            states[place] = state
            if case .released = state { isAwaited = true }
        }
        if case .released = state { writes &+= 1 }
    }

    /// Ends a delivery that is acknowledged, dropped or expired.
    func finish(_ place: StoredPlace) {
        guard place.message != .none else { return }
        if let index = openIndex(of: place) {
            guard open.destinations[index].state != .done else { return }
            open.destinations[index].state = .done
            let message = Int(place.message.rawValue - openFirst)
            open.messages[message].remaining -= 1
            return
        }
        states[place] = nil
        guard var sharing = shared[place.message] else {
            let isOverridden = overridden.remove(place.message) != nil
            return changes.append(.removeMessage(place.message, destinations: isOverridden ? 1 : 0))
        }
        guard sharing.finish(place.destination) else { return }
        guard sharing.remaining > 0 else {
            shared[place.message] = nil
            return changes.append(.removeMessage(place.message, destinations: sharing.destinations))
        }
        shared[place.message] = sharing
        changes.append(.delivery(place, .done))
    }

    /// The index of a delivery in the open batch; nil when it is not there.
    private func openIndex(of place: StoredPlace) -> Int? {
        guard place.message.rawValue >= openFirst else { return nil }
        return Self.index(of: place, in: open, from: openFirst)
    }

    private static func index(of place: StoredPlace, in batch: StoreBatch, from first: UInt64) -> Int? {
        let message = Int(place.message.rawValue - first)
        guard message < batch.messages.count, place.destination < batch.messages[message].destinationCount else {
            return nil
        }
        return batch.messages[message].firstDestination + Int(place.destination)
    }

    // MARK: Commit

    /// Whether the open batch can be handed over, and is to be.
    func isDue(evenLazy: Bool) -> Bool {
        guard committing == nil, !isEmpty else { return false }
        return isAwaited || evenLazy || changes.count + states.count >= Self.maximumLazy
    }

    /// Hands the open batch over.
    ///
    /// - Parameter completion: called on any thread with the batch's number.
    func commit(completion: @escaping @Sendable (UInt64, StoreFailure?) -> Void) {
        for (place, state) in states {
            changes.append(.delivery(place, state))
            if shared[place.message] == nil { overridden.insert(place.message) }
        }
        states.removeAll(keepingCapacity: true)
        for message in open.messages where message.destinationCount > 1 && message.remaining > 0 {
            shared[message.number] = SharedMessage(open.destinations(of: message))
        }
        open.changes = changes.list
        changes = OpenChanges()
        let batch = open
        committing = batch
        committingFirst = openFirst
        open = StoreBatch(number: batch.number + 1)
        openFirst = nextMessage
        messageBytes = 0
        isAwaited = false
        store.commit(batch) { completion(batch.number, $0) }
    }

    /// Hands over again the batch that the store could not write.
    func retry(completion: @escaping @Sendable (UInt64, StoreFailure?) -> Void) {
        guard let batch = committing else { return }
        store.commit(batch) { completion(batch.number, $0) }
    }

    /// Notes that the store has written the batch, or has failed.
    func committed(_ failure: StoreFailure?) {
        self.failure = failure
        if failure == nil { committing = nil }
    }

    // MARK: Reading back

    /// A message that may not be in the store yet, with one of its deliveries.
    func unwritten(_ place: StoredPlace) -> LoadedMessage? {
        if place.message.rawValue >= openFirst { return Self.message(place, of: open, from: openFirst) }
        guard let committing, place.message.rawValue >= committingFirst else { return nil }
        return Self.message(place, of: committing, from: committingFirst)
    }

    private static func message(_ place: StoredPlace, of batch: StoreBatch, from first: UInt64) -> LoadedMessage? {
        guard let index = index(of: place, in: batch, from: first) else { return nil }
        let stored = batch.messages[Int(place.message.rawValue - first)]
        return LoadedMessage(message: stored.message, destination: batch.destinations[index])
    }

    /// Reads messages back from the store.
    ///
    /// - Parameter completion: called on any thread.
    func load(
        _ places: [StoredPlace],
        completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
    ) {
        store.load(places, completion: completion)
    }

    /// Restores the journal's record of a stored message.
    func recover(_ message: RecoveredMessage) {
        nextMessage = max(nextMessage, message.number.rawValue + 1)
        openFirst = nextMessage
        if message.destinations.count > 1 {
            shared[message.number] = SharedMessage(message.destinations)
        } else if message.destinations.first?.state != .queued {
            overridden.insert(message.number)
        }
    }
}
