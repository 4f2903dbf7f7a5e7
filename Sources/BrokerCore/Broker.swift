import MQTTCodec
package import NIOCore

/// The broker: every session, subscription, retained message, will and timer, in plain synchronous code.
///
/// It has one owner, the core loop (`CoreLoop` of CoreRuntime), and no lock, clock or I/O of its own: time comes in through
/// `advance(to:)`, bytes leave through each connection's outlet. A test drives it by calling it.
///
/// The calls of adapters are in one extension for each subject: `Broker+Connect`, `+Authenticate`, `+Publish`,
/// `+Subscribe`, `+Acknowledge`, `+Disconnect`, `+Timers`.
package final class Broker {
    package let limits: Limits
    package var host: BrokerHost
    @exclusivity(unchecked) var access: ClientAccess
    /// The store, its journal, and the answers that wait for a batch.
    let commits: CommitGate
    /// The sessions and the connected clients.
    let registry: SessionRegistry
    /// The memory and the numbers that are kept for clients, and their limits.
    @exclusivity(unchecked) var accounts: Accounts
    @exclusivity(unchecked) var router: Router
    @exclusivity(unchecked) var retained: RetainedTopics
    var timers = TimerQueue()
    @exclusivity(unchecked) var turn: Turn
    @exclusivity(unchecked) var output = TickOutput()
    /// The counters since the start.
    @exclusivity(unchecked) package internal(set) var statistics = Statistics()

    /// Makes a broker; a broker with a store needs `recover()` before any other call.
    ///
    /// - Parameters:
    ///   - enhancedAuthenticator: nil offers no Authentication Method.
    ///   - authorizer: nil lets every client use every topic.
    ///   - events: takes the events of clients; nil logs none.
    ///   - store: nil keeps everything in memory.
    ///   - durability: the durability that answers wait for.
    ///   - epoch: a number above every number that an earlier process gave to a session, a message or a delivery, so
    ///     that no number is used twice: for example microseconds since 1970. 0 without a store.
    ///   - now: the time of the start.
    package init(
        limits: Limits = Limits(),
        authenticator: any Authenticator = AnonymousAccess(),
        enhancedAuthenticator: (any EnhancedAuthenticator)? = nil,
        authorizer: (any Authorizer)? = nil,
        events: (any EventSink)? = nil,
        store: (any Store)? = nil,
        durability: Durability = .strict,
        epoch: UInt64 = 0,
        now: NIODeadline
    ) {
        let hash = TopicHash()
        self.limits = limits
        host = BrokerHost(events: events)
        access = ClientAccess(
            authenticator,
            enhancedAuthenticator,
            authorizer,
            connectionRate: limits.connectionRate,
            now: now
        )
        commits = CommitGate(store: store, durability: durability, epoch: epoch)
        registry = SessionRegistry(epoch: epoch)
        accounts = Accounts(limits)
        router = Router(hash: hash, authorizer: authorizer)
        retained = RetainedTopics(hash: hash)
        turn = Turn(now: now)
    }

    /// The time of the event that is being handled.
    @inline(__always)
    package var now: NIODeadline { turn.now }

    /// The changes that are not written yet; nil without a store.
    @inline(__always)
    var journal: Journal? { commits.journal }

    /// Virtual connections that have a session, all protocols together.
    package var connectedClients: Int { registry.connected }

    /// Bytes in memory of changes that are not handed over to the store yet.
    package var unwrittenBytes: Int { journal?.bytes ?? 0 }
    /// Whether the store takes new changes; true without a store.
    package var isStoreWriting: Bool { !commits.isRefusing }
    /// Sessions, of connected clients and of absent ones.
    package var sessionCount: Int { registry.count }
    /// QoS 1 and 2 messages of a session that are queued or not acknowledged; 0 without a session.
    package func pendingMessages(of name: SessionName) -> Int {
        guard let session = registry[name] else { return 0 }
        return session.queue.count + session.window.count + session.storage.inflight.count
    }

    /// Bytes of the cached routes.
    package var rememberedRouteBytes: Int { router.cache.bytes }

    /// Retained messages, without those under `$SYS`.
    package var retainedCount: Int { retained.messages.count }
    /// Bytes in memory of retained messages and of the tree of their topics, without those under `$SYS`.
    package var retainedBytes: Int { retained.messages.bytes }

    /// Marks a connection as having something to flush at the end of the tick.
    @inline(__always)
    package func markDirty(_ connection: VirtualConnection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        output.dirty.append(connection)
        if !output.isRequested { requestFlush() }
    }

    /// Asks the owner to call `flush()` at the tick's end.
    func requestFlush() {
        guard !output.isRequested else { return }
        output.isRequested = true
        host.requestFlush?()
    }

    /// Ends the tick: the output of each connection leaves in one write or one batch.
    ///
    /// - Parameter limit: connections whose output leaves now, unless it is large; the output of the others leaves in
    ///   slices, since a write takes a while. `Int.max` lets all of it leave.
    package func flush(atOnce limit: Int = 1_024) {
        output.isRequested = false
        beginTurn()
        disconnectOverflowed()
        if output.isPutOff, limit < .max { flushLatest() } else { flushAll(atOnce: limit) }
        for session in output.departed where session.connection == nil { session.queue.unload() }
        output.departed.removeAll()
        if journal != nil { commitIfDue() }
    }

    private func flushAll(atOnce limit: Int) {
        output.slices = 0
        output.fannedOut = 0
        var leaving = output.dirty[...]
        output.dirty = []
        _ = flush(&leaving, limit)
        guard !leaving.isEmpty else { return }
        turn.backlog.append { broker, steps in
            let count = max(steps / Backlog.write, 1)
            let bytes = broker.flush(&leaving, count)
            steps -= max(count * Backlog.write, bytes / Backlog.bytes)
            return leaving.isEmpty
        }
    }

    /// Lets the output of those connections leave that have got some last, as a client has that was answered between two
    /// slices of long work; the others get more by the next slice.
    private func flushLatest() {
        let first = max(0, output.dirty.count - TickOutput.latest)
        var leaving = ContiguousArray(output.dirty[first...])[...]
        output.dirty.removeSubrange(first...)
        _ = flush(&leaving, .max)
        output.dirty.append(contentsOf: leaving)
    }

    /// Bytes of output that leave in one slice.
    private static var sliceBytes: Int { 8_388_608 }

    /// Flushes the latest connections first: a client that asks for the end of a tick wants the result of its latest
    /// request.
    ///
    /// The connections of one slice are flushed in the order in which they were marked, which is their order in
    /// memory.
    ///
    /// - Returns: the bytes that have left.
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
    /// - Parameter sent: counts the MQTT bytes that left.
    /// - Returns: the bytes that left; for messages to an adapter, their size in memory.
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

    /// Tells the client the reason and closes its network connection.
    func close(_ reason: ReasonCode, detail: String?) {
        switch outlet {
        case .packets(let stream):
            // Only MQTT 5 has a DISCONNECT from the server [MQTT-3.14.0-1].
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
