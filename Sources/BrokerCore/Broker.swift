import MQTTCodec
package import NIOCore

/// The broker: every session, subscription, retained message, will and timer, in plain synchronous code.
///
/// It has one owner, the core loop (`CoreLoop`), and no lock, clock or I/O of its own: time comes in through
/// `advance(to:)`, bytes leave through each connection's outlet. A test drives it by calling it.
///
/// What adapters ask of it stands in one extension a subject: `Broker+Connect`, `+Authenticate`, `+Publish`,
/// `+Subscribe`, `+Acknowledge`, `+Disconnect`, `+Timers`.
package final class Broker {
    package let limits: Limits
    package let queueLimits: QueueLimits
    let authenticator: any Authenticator
    let enhancedAuthenticator: (any EnhancedAuthenticator)?
    let authorizer: (any Authorizer)?
    let events: EventLog
    /// nil keeps everything in memory.
    let store: (any Store)?
    let epoch: UInt64

    /// The time of the event that is being handled.
    @exclusivity(unchecked) package internal(set) var now: NIODeadline
    /// What has been counted since the start.
    @exclusivity(unchecked) package internal(set) var statistics = Statistics()
    /// Called when the first connection of a tick has something to flush; the owner calls `flush()` at the tick's end.
    @exclusivity(unchecked) package var onDirty: (() -> Void)?
    /// Brings work from any thread onto the core; set by the owner.
    package var mailbox: (@Sendable (@escaping @Sendable (Broker) -> Void) -> Void)?

    /// What waits for the store.
    let commits: CommitGate
    /// Called when the store can't write, each time it has tried, and with nil when it can again.
    package var onStoreFailure: ((StoreFailure?) -> Void)?
    /// Sessions whose client left in this tick: their queues need not be in memory, unless it is back already.
    var departed: [Session] = []
    private var isFlushRequested = false

    var sessions: [SessionName: Session] = [:]
    /// Sessions that only their own connections have.
    var namelessSessions: [SessionNumber: Session] = [:]
    var connectedCount = 0
    /// Sessions that others can find and whose clients are connected.
    var connectedSessions = 0
    @exclusivity(unchecked) var accounts: Accounts
    var idleSessions = IdleSessions()
    /// Bytes written for many clients at once in this tick; see `noteFanOut`.
    @exclusivity(unchecked) var fannedOut = 0
    /// The same, each protocol by itself.
    var connectedByProtocol: [VirtualConnection.TransportProtocol: Int] = [:]
    var isShuttingDown = false
    var lastSessionNumber: UInt64 = 0
    @exclusivity(unchecked) var router: Router
    @exclusivity(unchecked) var retained: RetainedMessages
    /// The broker's own, under `$SYS`; neither stored nor limited.
    var systemRetained: RetainedMessages
    var systemTopics: SystemTopics?
    /// What else is published there, by its levels below `$SYS/broker/`.
    var systemSources: [String: (Broker) -> [(topic: String, value: String)]] = [:]
    /// When the retained messages may be searched for expired ones again.
    var nextRetainedSweep = NIODeadline.distantPast
    /// Looks for retained messages that have expired.
    var retainedTimer: TimerQueue.Entry?
    /// Whether they are being looked for.
    var isRemovingRetained = false
    @exclusivity(unchecked) var templates = PublishTemplates()
    @exclusivity(unchecked) var dirty: ContiguousArray<VirtualConnection> = []
    /// Clients to be disconnected once the message that is being routed has reached everybody.
    @exclusivity(unchecked) var overflowed: [Session] = []
    var timers = TimerQueue()
    /// Whether what is due is done in slices.
    var isBehindTime = false
    var backlog = Backlog()
    /// What has been done in this turn of the core, without what the router has done; see `isTurnOver`.
    @exclusivity(unchecked) var effort = 0
    /// The effort at which the turn is over.
    @exclusivity(unchecked) var turnEnd = Backlog.effort
    var connectionRate: TokenBucket?
    /// Counts the times that the authenticator's answers became other ones.
    var credentialsGeneration: UInt64 = 0
    /// The same of the authorizer's answers.
    var rightsGeneration: UInt64 = 1
    var transientRates = TransientPublishRates()

    /// Makes a broker; one with a store is to be told to `recover()` before anything else.
    ///
    /// - Parameters:
    ///   - enhancedAuthenticator: nil offers no Authentication Method.
    ///   - authorizer: nil lets every client use every topic.
    ///   - events: told what becomes of clients.
    ///   - store: nil keeps everything in memory.
    ///   - durability: what answers wait for.
    ///   - epoch: above every number that an earlier process gave to a session, a message or a delivery, so that none is
    ///     used twice: microseconds since 1970, say. 0 without a store.
    ///   - now: the time it starts at.
    package init(
        limits: Limits = Limits(),
        queue: QueueLimits = QueueLimits(),
        authenticator: any Authenticator = AnonymousAccess(),
        enhancedAuthenticator: (any EnhancedAuthenticator)? = nil,
        authorizer: (any Authorizer)? = nil,
        events: EventLog = .silent,
        store: (any Store)? = nil,
        durability: Durability = .strict,
        epoch: UInt64 = 0,
        now: NIODeadline
    ) {
        let hash = TopicHash()
        self.limits = limits
        self.queueLimits = queue
        accounts = Accounts(limits)
        self.authenticator = authenticator
        self.enhancedAuthenticator = enhancedAuthenticator
        self.authorizer = authorizer
        self.events = events
        self.store = store
        self.epoch = epoch
        commits = CommitGate(store: store, durability: durability, epoch: epoch)
        self.now = now
        if limits.connectionRate > 0 { connectionRate = TokenBucket(rate: limits.connectionRate, now: now) }
        router = Router(hash: hash, authorizer: authorizer)
        retained = RetainedMessages(hash: hash)
        systemRetained = RetainedMessages(hash: hash)
    }

    /// What is changed and not written; nil without a store.
    @inline(__always)
    var journal: Journal? { commits.journal }

    /// Virtual connections that have a session, all protocols together.
    package var connectedClients: Int { connectedCount }

    /// Bytes in memory of what is to be stored and has not been handed over yet.
    package var unwrittenBytes: Int { journal?.bytes ?? 0 }
    /// Whether what is to be stored can be; true without a store.
    package var isStoreWriting: Bool { !commits.isRefusing }
    /// All there are, whether anybody can find them or not.
    var allSessions: [Session] { Array(sessions.values) + Array(namelessSessions.values) }
    /// Sessions, of connected clients and of absent ones.
    package var sessionCount: Int { sessions.count }
    /// QoS 1 and 2 messages that a client has not taken yet, whether they wait or were sent; 0 without a session.
    package func pendingMessages(of name: SessionName) -> Int {
        guard let session = sessions[name] else { return 0 }
        return session.queue.count + session.window.count + session.storedInflight.count
    }

    /// Bytes of the routes that are remembered.
    package var rememberedRouteBytes: Int { router.cache.bytes }

    /// Retained messages, without those under `$SYS`.
    package var retainedCount: Int { retained.count }
    /// Bytes in memory of retained messages and of the tree of their topics, without those under `$SYS`.
    package var retainedBytes: Int { retained.bytes }

    deinit {
        // Sessions hold their subscriptions and connections, and the other way round.
        for session in allSessions {
            for subscription in session.subscriptions.values { subscription.list = nil }
            session.subscriptions = ByteKeyed()
            session.connection?.forgetReference()
            session.connection?.session = nil
            idleSessions.remove(session)
        }
    }

    /// Marks a connection as having something to flush at the end of the tick.
    @inline(__always)
    package func markDirty(_ connection: VirtualConnection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        dirty.append(connection)
        if dirty.count == 1 { requestFlush() }
    }

    /// Asks the owner to call `flush()` at the tick's end.
    func requestFlush() {
        guard !isFlushRequested else { return }
        isFlushRequested = true
        onDirty?()
    }

    /// Ends the tick: everything gathered for each connection leaves in one write or one batch.
    ///
    /// - Parameter limit: connections whose output leaves now, unless it is much; that of others leaves in slices, since a
    ///   write takes a while.
    package func flush(atOnce limit: Int = 1_024) {
        isFlushRequested = false
        beginTurn()
        disconnectOverflowed()
        fannedOut = 0
        var leaving = dirty[...]
        dirty = []
        _ = flush(&leaving, limit)
        if !leaving.isEmpty {
            backlog.append { broker, steps in
                let count = max(steps / Backlog.write, 1)
                let bytes = broker.flush(&leaving, count)
                steps -= max(count * Backlog.write, bytes / Backlog.bytes)
                return leaving.isEmpty
            }
        }
        for session in departed where session.connection == nil { session.queue.unload() }
        departed.removeAll()
        if journal != nil { commitIfDue() }
    }

    /// Bytes of output that leave at a time.
    private static var sliceBytes: Int { 8_388_608 }

    /// The latest first: who asks for the end of a tick wants what has just been brought about.
    ///
    /// Those of one slice leave in the order in which they came, which is how they lie in memory.
    ///
    /// - Returns: bytes that have left.
    private func flush(_ leaving: inout ContiguousArray<VirtualConnection>.SubSequence, _ limit: Int) -> Int {
        let first = max(leaving.startIndex, leaving.endIndex - limit)
        var place = first
        var bytes = 0
        while place < leaving.endIndex, bytes < Self.sliceBytes {
            let connection = leaving[place]
            place += 1
            connection.isDirty = false
            bytes &+= connection.flush(counting: &statistics.bytesSent)
            countBuffers(of: connection)
            if let session = connection.session, session.isWaiting { sendQueued(session) }
        }
        if place == leaving.endIndex { leaving = leaving[..<first] } else { leaving.removeSubrange(first..<place) }
        return bytes
    }
}

extension VirtualConnection {
    /// - Parameter sent: counts bytes of MQTT that left.
    /// - Returns: bytes that left; of messages for an adapter what they take in memory.
    @inline(__always)
    func flush(counting sent: inout UInt64) -> Int {
        switch outlet {
        case .packets(let stream):
            let written = stream.flush()
            sent &+= UInt64(truncatingIfNeeded: written)
            return written
        case .messages(let sink): return sink.flush()
        }
    }

    /// Tells the client and ends its network connection.
    func close(_ reason: ReasonCode, detail: String?) {
        switch outlet {
        case .packets(let stream):
            // Only MQTT 5 tells the client why [MQTT-3.14.0-1].
            if stream.version == .v5 {
                stream.append(
                    .disconnect(Disconnect(reasonCode: reason, reasonString: detail)),
                    otherwise: .disconnect(Disconnect(reasonCode: reason))
                )
            }
            stream.close()
        case .messages(let sink): sink.close(reason)
        }
    }
}
