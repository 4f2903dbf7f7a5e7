import NIOCore

/// What waits for the store: which batch gathers, which one the store is at work on, which ones it has written, and whose
/// answers wait for which.
///
/// A client is answered when the store has written the batch that has what the answer confirms. There is one batch at a time
/// in the store; changes gather in the next one meanwhile. Where durability is `none`, and without a store, nothing waits.
///
/// Confined to the core loop; it has no timer and no thread: `Broker+Durability` wires it.
final class CommitGate {
    /// Changes that no client waits for are written at the latest after this.
    static let lazyDelay = TimeAmount.milliseconds(50)
    /// When a batch that could not be written is tried again.
    static let retryDelay = TimeAmount.seconds(1)

    /// nil keeps everything in memory.
    let store: (any Store)?
    /// What is changed and not written; nil without a store.
    let journal: Journal?
    /// Above every number that an earlier process gave to a session, a message or a delivery.
    let epoch: UInt64
    /// The last batch that the store has written; an answer that waits for one up to it need not wait.
    @exclusivity(unchecked) private(set) var durableBatch: UInt64
    /// The same where answers don't wait.
    private var lastWritten: UInt64 = 0
    /// Whether the store takes no new messages: it can't write, or does not keep up.
    @exclusivity(unchecked) private(set) var isRefusing = false
    /// Connections with output that waits for a batch.
    private var held: ContiguousArray<VirtualConnection> = []
    /// What else waits for one.
    private var waiters = StoreWaiters()
    private var isLazyCommitScheduled = false
    /// Names whose stored session has ended, with the batch that says so, until it is written.
    private var unwrittenEnds: [SessionName: UInt64] = [:]

    /// - Parameters:
    ///   - store: nil keeps everything in memory.
    ///   - epoch: above every number that an earlier process gave to a message or a delivery.
    init(store: (any Store)?, durability: Durability, epoch: UInt64) {
        self.store = store
        self.epoch = epoch
        journal = store.map { Journal(store: $0, epoch: epoch) }
        durableBatch = store != nil && durability != .none ? 0 : .max
    }

    /// Whether an answer that waits for a batch may go.
    @inline(__always)
    func isDurable(_ batch: UInt64) -> Bool { batch <= durableBatch }

    /// The last batch that anything has been put into.
    var lastUsedBatch: UInt64 {
        guard let journal else { return 0 }
        return journal.isEmpty ? journal.openNumber - 1 : journal.openNumber
    }

    // MARK: Waiting

    /// The connection has output that waits for a batch.
    func hold(_ connection: VirtualConnection) {
        guard !connection.isHeld else { return }
        connection.isHeld = true
        held.append(connection)
    }

    /// Calls back when a batch is written.
    ///
    /// - Parameter done: called once, at once where nothing is to be waited for: false when the store can't write now, and so
    ///   can't promise anything.
    func whenDurable(_ batch: UInt64, _ done: @escaping (_ isStored: Bool) -> Void) {
        guard !isDurable(batch) else { return done(true) }
        guard journal?.failure == nil else { return done(false) }
        waiters.add(batch, done)
    }

    /// Calls back when everything is written that has been changed so far, whether anybody's answer waits for it or not.
    func whenAllWritten(_ done: @escaping (_ isStored: Bool) -> Void) {
        guard journal?.failure == nil else { return done(false) }
        guard lastUsedBatch > lastWritten else { return done(true) }
        waiters.add(lastUsedBatch, done)
    }

    // MARK: Names

    /// The stored session of that name has ended: the open batch says so.
    func noteEnd(of name: SessionName) {
        if let journal { unwrittenEnds[name] = journal.openNumber }
    }

    /// The batch that has the end of a former session of that name; 0 when it is written.
    func batchOfEnd(of name: SessionName) -> UInt64 { unwrittenEnds[name] ?? 0 }

    // MARK: Commit

    /// What is to be done for changes that have been made.
    enum Due {
        case nothing
        /// Nobody waits for them: they are written `lazyDelay` from now.
        case later
        /// The store can take them now.
        case now
    }

    /// Whether the end of the tick has something to do that it would not have otherwise.
    @inline(__always)
    func wantsTick() -> Bool {
        guard let journal, !journal.isEmpty else { return false }
        isRefusing = journal.isRefusing
        return journal.isUrgent ? !journal.isCommitting : !isLazyCommitScheduled
    }

    /// Looks what is to be done at the end of a tick.
    ///
    /// - Parameter evenLazy: whether changes that nobody waits for are due as well.
    func due(evenLazy: Bool) -> Due {
        guard let journal else { return .nothing }
        isRefusing = journal.isRefusing
        if journal.isDue(evenUnhurried: evenLazy || !waiters.isEmpty) { return .now }
        guard !journal.isEmpty, !isLazyCommitScheduled else { return .nothing }
        isLazyCommitScheduled = true
        return .later
    }

    /// `lazyDelay` is over.
    func lazyDelayIsOver() { isLazyCommitScheduled = false }

    /// What an answer of the store brings about.
    struct Outcome {
        /// Connections that have something to flush now.
        var released: ContiguousArray<VirtualConnection> = []
        /// Who is to be told, and what.
        var answered: [StoreWaiters.Done] = []
        /// nil when the batch is written.
        var failure: StoreFailure?
        /// Whether the store writes again, after it could not.
        var hasRecovered = false
    }

    /// The store has written a batch, or could not.
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
