import NIOCore

/// The progress of batches through the store, and the answers that wait for them.
///
/// A client is answered when the store has written the batch with the changes that the answer confirms. There is one
/// batch at a time in the store; further changes gather in the next one. With durability `none`, and without a store,
/// no answer waits.
///
/// Confined to the core loop; it has no timer and no thread: `Broker+Durability` connects it.
final class CommitGate {
    /// The time after which changes that no client waits for are written at the latest.
    static let lazyDelay = TimeAmount.milliseconds(50)
    /// The time after which a failed batch is tried again.
    static let retryDelay = TimeAmount.seconds(1)

    /// The store; nil keeps everything in memory.
    let store: (any Store)?
    /// The changes that are not written yet; nil without a store.
    let journal: Journal?
    /// A number above every number that an earlier process gave to a session, a message or a delivery.
    let epoch: UInt64
    /// The last batch that the store has written; an answer for a batch up to it need not wait.
    @exclusivity(unchecked) private(set) var durableBatch: UInt64
    /// The last written batch when answers don't wait.
    private var lastWritten: UInt64 = 0
    /// Whether new messages for the store are refused: it can't write, or does not keep up.
    @exclusivity(unchecked) private(set) var isRefusing = false
    /// Connections with output that waits for a batch.
    private var held: ContiguousArray<VirtualConnection> = []
    /// Other callers that wait for a batch.
    private var waiters = StoreWaiters()
    private var isLazyCommitScheduled = false
    /// Names of ended sessions, with the batch that removes the session, until it is written.
    private var unwrittenEnds: [SessionName: UInt64] = [:]

    /// - Parameters:
    ///   - store: nil keeps everything in memory.
    ///   - epoch: a number above every number that an earlier process gave to a message or a delivery.
    init(store: (any Store)?, durability: Durability, epoch: UInt64) {
        self.store = store
        self.epoch = epoch
        journal = store.map { Journal(store: $0, epoch: epoch) }
        durableBatch = store != nil && durability != .none ? 0 : .max
    }

    /// Whether an answer for a batch may be sent.
    @inline(__always)
    func isDurable(_ batch: UInt64) -> Bool { batch <= durableBatch }

    /// The last batch that contains a change.
    var lastUsedBatch: UInt64 {
        guard let journal else { return 0 }
        return journal.isEmpty ? journal.openNumber - 1 : journal.openNumber
    }

    // MARK: Waiting

    /// Holds a connection that has output for a batch.
    func hold(_ connection: VirtualConnection) {
        guard !connection.isHeld else { return }
        connection.isHeld = true
        held.append(connection)
    }

    /// Calls back when a batch is written.
    ///
    /// - Parameter done: called once, at once when the batch is written already; with false when the store can't write
    ///   now.
    func whenDurable(_ batch: UInt64, _ done: @escaping (_ isStored: Bool) -> Void) {
        guard !isDurable(batch) else { return done(true) }
        guard journal?.failure == nil else { return done(false) }
        waiters.add(batch, done)
    }

    /// Calls back when all changes so far are written, even those that no answer waits for.
    func whenAllWritten(_ done: @escaping (_ isStored: Bool) -> Void) {
        guard journal?.failure == nil else { return done(false) }
        guard lastUsedBatch > lastWritten else { return done(true) }
        waiters.add(lastUsedBatch, done)
    }

    // MARK: Names

    /// Notes that the open batch removes the stored session of that name.
    func noteEnd(of name: SessionName) {
        if let journal { unwrittenEnds[name] = journal.openNumber }
    }

    /// The batch that removes a former session of that name; 0 when it is written.
    func batchOfEnd(of name: SessionName) -> UInt64 { unwrittenEnds[name] ?? 0 }

    // MARK: Commit

    /// The commit that is due for the changes so far.
    enum Due {
        case nothing
        /// No answer waits for the changes: they are written after `lazyDelay`.
        case later
        /// The store can take the changes now.
        case now
    }

    /// Whether changes alone require the end of a tick.
    @inline(__always)
    func wantsTick() -> Bool {
        guard let journal, !journal.isEmpty else { return false }
        isRefusing = journal.isRefusing
        return journal.isAwaited ? !journal.isCommitting : !isLazyCommitScheduled
    }

    /// Decides on a commit at the end of a tick.
    ///
    /// - Parameter evenLazy: whether changes that no answer waits for are due as well.
    func due(evenLazy: Bool) -> Due {
        guard let journal else { return .nothing }
        isRefusing = journal.isRefusing
        if journal.isDue(evenLazy: evenLazy || !waiters.isEmpty) { return .now }
        guard !journal.isEmpty, !isLazyCommitScheduled else { return .nothing }
        isLazyCommitScheduled = true
        return .later
    }

    /// Notes that `lazyDelay` has passed.
    func lazyDelayIsOver() { isLazyCommitScheduled = false }

    /// The results of a commit.
    struct Outcome {
        /// Connections with released output.
        var released: ContiguousArray<VirtualConnection> = []
        /// Callbacks with their results.
        var answered: [StoreWaiters.Done] = []
        /// The failure; nil when the batch is written.
        var failure: StoreFailure?
        /// Whether the store writes again after a failure.
        var hasRecovered = false
    }

    /// Notes that the store has written a batch, or has failed.
    func committed(_ number: UInt64, _ failure: StoreFailure?) -> Outcome {
        guard let journal else { return Outcome() }
        var outcome = Outcome(failure: failure)
        outcome.hasRecovered = failure == nil && journal.failure != nil
        journal.committed(failure)
        isRefusing = journal.isRefusing
        guard failure == nil else {
            outcome.answered = waiters.take()
            return outcome
        }
        lastWritten = number
        if durableBatch != .max { durableBatch = number }
        if !unwrittenEnds.isEmpty { unwrittenEnds = unwrittenEnds.filter { $0.value > number } }
        outcome.released = release(through: number)
        outcome.answered = waiters.take(through: number)
        return outcome
    }

    private func release(through batch: UInt64) -> ContiguousArray<VirtualConnection> {
        let released = held
        held = []
        for connection in released {
            switch connection.outlet {
            case .packets(let stream): connection.isHeld = stream.release(through: batch)
            case .messages(let sink): connection.isHeld = sink.release(through: batch)
            }
            if connection.isHeld { held.append(connection) }
        }
        return released
    }
}
