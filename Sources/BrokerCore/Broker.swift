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
    let observer: (any ClientObserver)?
    let sessionStore: any SessionStore
    let retainedStore: any RetainedStore

    /// The time of the event that is being handled.
    @exclusivity(unchecked) package internal(set) var now: NIODeadline
    /// What has been counted since the start.
    @exclusivity(unchecked) package internal(set) var statistics = Statistics()
    /// Called when the first connection of a tick has something to flush; the owner calls `flush()` at the tick's end.
    @exclusivity(unchecked) package var onDirty: (() -> Void)?
    /// Brings work from any thread onto the core; set by the owner.
    package var mailbox: (@Sendable (@escaping @Sendable (Broker) -> Void) -> Void)?

    var sessions = ByteKeyed<Session>()
    var connectedCount = 0
    var isShuttingDown = false
    var lastSessionNumber: UInt64 = 0
    @exclusivity(unchecked) var router: Router
    @exclusivity(unchecked) var retained: RetainedMessages
    /// The broker's own, under `$SYS`; neither stored nor limited.
    var systemRetained: RetainedMessages
    var systemTopics: SystemTopics?
    /// When the retained messages may be searched for expired ones again.
    var nextRetainedSweep = NIODeadline.distantPast
    @exclusivity(unchecked) var templates = PublishTemplates()
    @exclusivity(unchecked) var dirty: ContiguousArray<VirtualConnection> = []
    /// Clients to be disconnected once the message that is being routed has reached everybody.
    @exclusivity(unchecked) var overflowed: [Session] = []
    var timers = TimerQueue()
    var connectionRate: TokenBucket?
    var transientRates = TransientPublishRates()

    /// Makes a broker and reads back what its stores hold.
    ///
    /// - Parameters:
    ///   - enhancedAuthenticator: nil offers no Authentication Method.
    ///   - authorizer: nil lets every client use every topic.
    ///   - observer: nil when nobody wants to know.
    ///   - now: the time it starts at.
    package init(
        limits: Limits = Limits(),
        queue: QueueLimits = QueueLimits(),
        authenticator: any Authenticator = AnonymousAccess(),
        enhancedAuthenticator: (any EnhancedAuthenticator)? = nil,
        authorizer: (any Authorizer)? = nil,
        observer: (any ClientObserver)? = nil,
        store: any SessionStore & RetainedStore = MemoryStore(),
        now: NIODeadline
    ) {
        let hash = TopicHash()
        self.limits = limits
        self.queueLimits = queue
        self.authenticator = authenticator
        self.enhancedAuthenticator = enhancedAuthenticator
        self.authorizer = authorizer
        self.observer = observer
        self.sessionStore = store
        self.retainedStore = store
        self.now = now
        if limits.connectionRate > 0 { connectionRate = TokenBucket(rate: limits.connectionRate, now: now) }
        router = Router(hash: hash, authorizer: authorizer)
        retained = RetainedMessages(hash: hash)
        systemRetained = RetainedMessages(hash: hash)
        recover()
    }

    /// Virtual connections that have a session, all protocols together.
    package var connectedClients: Int { connectedCount }

    deinit {
        // Sessions hold their subscriptions and connections, and the other way round.
        for session in sessions.values {
            for subscription in session.subscriptions.values { subscription.list = nil }
            session.subscriptions = ByteKeyed()
            session.connection?.forgetReference()
            session.connection?.session = nil
        }
    }

    /// Marks a connection as having something to flush at the end of the tick.
    @inline(__always)
    package func markDirty(_ connection: VirtualConnection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        dirty.append(connection)
        if dirty.count == 1 { onDirty?() }
    }

    /// Ends the tick: everything gathered for each connection leaves in one write or one batch.
    package func flush() {
        disconnectOverflowed()
        let leaving = dirty
        dirty = []
        for connection in leaving {
            connection.isDirty = false
            statistics.bytesSent &+= UInt64(truncatingIfNeeded: connection.flush())
            if let session = connection.session, session.isWaiting { sendQueued(session) }
        }
    }
}

extension VirtualConnection {
    /// - Returns: bytes that left; 0 for a message sink.
    @inline(__always)
    func flush() -> Int {
        switch outlet {
        case .packets(let stream): return stream.flush()
        case .messages(let sink):
            sink.flush()
            return 0
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
