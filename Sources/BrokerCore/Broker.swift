import MQTTCodec
package import NIOCore

/// The broker: every session, subscription, retained message, will and timer, in plain synchronous code.
///
/// It has one owner, the core loop (`CoreLoop`), and no lock, clock or I/O of its own: time comes in through
/// `advance(to:)`, bytes leave through each connection's outlet. A test drives it by calling it.
///
/// What adapters ask of it stands in one extension a subject: `Broker+Connect`, `+Publish`, `+Subscribe`,
/// `+Acknowledge`, `+Disconnect`, `+Timers`.
package final class Broker {
    package let limits: Limits
    package let queueLimits: QueueLimits
    let authenticator: any Authenticator
    let authorizer: (any Authorizer)?
    let sessionStore: any SessionStore
    let retainedStore: any RetainedStore

    /// The time of the event that is being handled.
    @exclusivity(unchecked) package internal(set) var now: NIODeadline
    /// What has been counted since the start.
    @exclusivity(unchecked) package internal(set) var statistics = Statistics()
    /// Called when the first connection of a tick has something to flush; the owner calls `flush()` at the tick's end.
    @exclusivity(unchecked) package var onDirty: (() -> Void)?

    var sessions: [String: Session] = [:]
    var connectedCount = 0
    var isShuttingDown = false
    var lastSessionNumber: UInt64 = 0
    @exclusivity(unchecked) var router: Router
    @exclusivity(unchecked) var retained: RetainedMessages
    @exclusivity(unchecked) var templates = PublishTemplates()
    @exclusivity(unchecked) var dirty: ContiguousArray<VirtualConnection> = []
    /// Clients to be disconnected once the message that is being routed has reached everybody.
    @exclusivity(unchecked) var overflowed: [Session] = []
    var timers = TimerQueue()

    /// Makes a broker and reads back what its stores hold.
    ///
    /// - Parameters:
    ///   - authorizer: nil lets every client use every topic.
    ///   - now: the time it starts at.
    package init(
        limits: Limits = Limits(),
        queue: QueueLimits = QueueLimits(),
        authenticator: any Authenticator = AnonymousAccess(),
        authorizer: (any Authorizer)? = nil,
        store: any SessionStore & RetainedStore = MemoryStore(),
        now: NIODeadline
    ) {
        let hash = TopicHash()
        self.limits = limits
        self.queueLimits = queue
        self.authenticator = authenticator
        self.authorizer = authorizer
        self.sessionStore = store
        self.retainedStore = store
        self.now = now
        router = Router(hash: hash)
        retained = RetainedMessages(hash: hash)
        recover()
    }

    /// Virtual connections that have a session, all protocols together.
    package var connectedClients: Int { connectedCount }

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
            connection.flush()
            if let session = connection.session, !session.queue.isEmpty { sendQueued(session) }
        }
    }
}

/// Counts since the start; messages are Application Messages, not packets.
package struct Statistics: Sendable {
    /// Messages published by clients and accepted.
    package var received: UInt64 = 0
    /// Messages handed to clients' outlets.
    package var sent: UInt64 = 0
    /// Messages not delivered to one client: its queue or connection was full, or they were too large or too old for it.
    package var dropped: UInt64 = 0
}

extension VirtualConnection {
    @inline(__always)
    func flush() {
        switch outlet {
        case .packets(let stream): stream.flush()
        case .messages(let sink): sink.flush()
        }
    }

    func close(_ reason: ReasonCode) {
        switch outlet {
        case .packets(let stream):
            // Only MQTT 5 tells the client why [MQTT-3.14.0-1].
            if stream.version == .v5 {
                PacketEncoder.encode(
                    .disconnect(Disconnect(reasonCode: reason)),
                    version: .v5,
                    into: &stream.output
                )
            }
            stream.close()
        case .messages(let sink): sink.close(reason)
        }
    }
}
