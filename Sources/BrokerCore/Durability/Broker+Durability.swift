package import MQTTCodec
import NIOCore

// The core's changes in the store, and the answers that wait for them.
extension Broker {
    // MARK: Sessions

    /// Stores the session of a client that has connected, if it is to outlive the connection.
    ///
    /// A stored session stays in the store until it ends, since messages of its queue may be in the store alone.
    func store(_ session: Session) {
        guard session.isStored || session.isPersistent else { return }
        session.storage.isStored = true
        save(session)
    }

    /// Writes a stored session's own record.
    func save(_ session: Session) {
        guard session.isStored else { return }
        journal?.append(
            .session(
                SessionRecord(
                    name: session.name,
                    number: session.number,
                    userName: session.userName,
                    isUserProven: session.holder.isUser,
                    expiryInterval: session.expiryInterval,
                    expiresAt: session.expiresAt,
                    will: session.will,
                    willDueAt: session.life.willDueAt,
                    takenForRead: session.order.takenForRead
                )
            )
        )
    }

    // MARK: Waiting

    /// Runs `body` for a client, whose answers wait until the changes are written.
    @inline(__always)
    func recordingWrites<Result>(of session: Session, _ body: () -> Result) -> Result {
        guard let journal else { return body() }
        let writes = journal.writes
        let result = body()
        if journal.writes != writes { session.storage.lastBatch = journal.openNumber }
        return result
    }

    /// Makes the client's answers wait for all changes of all clients so far.
    func waitForAll(_ session: Session) {
        guard let journal else { return }
        journal.requestCommit()
        session.storage.lastBatch = max(session.storage.lastBatch, commits.lastUsedBatch)
    }

    /// Answers a client with PUBACK, PUBREC, PUBREL or PUBCOMP, once the confirmed changes are written.
    @inline(__always)
    package func acknowledge(
        _ type: PacketType,
        _ packetID: PacketID,
        _ reason: ReasonCode,
        on connection: VirtualConnection,
        _ stream: PacketStream
    ) {
        turn.effort &+= 1
        let batch = connection.session?.storage.lastBatch ?? 0
        if commits.isDurable(batch) {
            PacketEncoder.writeAcknowledgement(
                type,
                packetID: packetID,
                reasonCode: reason,
                version: stream.version,
                into: &stream.output
            )
        } else {
            stream.hold(until: batch) {
                PacketEncoder.writeAcknowledgement(
                    type,
                    packetID: packetID,
                    reasonCode: reason,
                    version: stream.version,
                    into: &$0
                )
            }
            commits.hold(connection)
        }
        sentPacket(on: connection)
    }

    /// Answers a client with SUBACK or UNSUBACK.
    ///
    /// It waits in the output until the confirmed changes are written, and all later output waits with it.
    package func answer(_ packet: Packet, on connection: VirtualConnection, _ stream: PacketStream) {
        stream.append(packet)
        sentPacket(on: connection)
        if let session = connection.session { cork(stream, until: session.storage.lastBatch, connection) }
    }

    /// Holds the CONNACK of a new session, and all later output, in the same way.
    func corkNewSession(of connection: VirtualConnection) {
        guard case .packets(let stream) = connection.outlet, let session = connection.session else { return }
        cork(stream, until: session.storage.firstBatch, connection)
    }

    private func cork(_ stream: PacketStream, until batch: UInt64, _ connection: VirtualConnection) {
        guard !commits.isDurable(batch) else { return }
        stream.cork(until: batch)
        commits.hold(connection)
    }

    /// Whether all changes of the connection's client so far are written.
    package func isStored(_ connection: VirtualConnection) -> Bool { commits.isDurable(batch(awaitedBy: connection)) }

    /// Calls back when all changes of the connection's client so far are written.
    ///
    /// - Parameter done: called once on the core loop, at once when no change is pending; with false when the store
    ///   can't write now.
    package func whenStored(_ connection: VirtualConnection, _ done: @escaping (_ isStored: Bool) -> Void) {
        commits.whenDurable(batch(awaitedBy: connection), done)
    }

    private func batch(awaitedBy connection: VirtualConnection) -> UInt64 {
        connection.session.map { max($0.storage.firstBatch, $0.storage.lastBatch) } ?? connection.lastBatch
    }

    /// Calls back when all changes so far are written.
    package func whenAllStored(_ done: @escaping (_ isStored: Bool) -> Void) {
        commits.whenAllWritten(done)
        commitIfDue(evenLazy: true)
    }

    // MARK: Commit

    /// Requests the end of the tick if changes are to be written, even without output; to be called after each piece
    /// of work.
    @inline(__always)
    package func noteChanges() {
        if commits.wantsTick() { requestFlush() }
    }

    /// Hands the open batch to the store, unless the store is still writing the one before.
    func commitIfDue(evenLazy: Bool = false) {
        switch commits.due(evenLazy: evenLazy) {
        case .nothing: break
        case .later: timers.add(.lazyCommit, at: now + CommitGate.lazyDelay)
        case .now: journal?.commit(completion: whenCommitted())
        }
    }

    /// Returns the completion of a commit, which runs on the core.
    private func whenCommitted() -> @Sendable (UInt64, StoreFailure?) -> Void {
        { [submit = host.submit] number, failure in submit? { $0.committed(number, failure) } }
    }

    private func committed(_ number: UInt64, _ failure: StoreFailure?) {
        let outcome = commits.committed(number, failure)
        if failure != nil || outcome.hasRecovered { host.storeFailed?(failure) }
        for connection in outcome.released { markDirty(connection) }
        for done in outcome.answered { done(failure == nil) }
        if failure == nil { requestFlush() } else { timers.add(.storeRetry, at: now + CommitGate.retryDelay) }
    }

    /// Repeats the commit that has failed.
    func retryCommit() { journal?.retry(completion: whenCommitted()) }

    func lazyCommit() {
        commits.lazyDelayIsOver()
        commitIfDue(evenLazy: true)
    }

    // MARK: Refusing

    /// The Reason Code for a store that can't write: PUBACK and SUBACK have no better one; other protocols have 503
    /// and 5.03.
    func storeRefusal(of session: Session) -> ReasonCode { session.stream == nil ? .serverUnavailable : .quotaExceeded }

    /// Whether a message can't be accepted without the store.
    func needsStore(_ publication: Publication, _ topic: RawSpan, from session: Session) -> Bool {
        guard publication.qos != .atMostOnce else { return false }
        if publication.retain || (publication.qos == .exactlyOnce && session.isStored) { return true }
        let route = router.route(of: topic)
        return route.destinations.contains { $0.session.isStored && $0.qos != .atMostOnce }
            || route.sharedGroups.contains { $0.subscriptions.contains { $0.session.isStored } }
    }
}

extension StoredDestination {
    init(_ outbound: OutboundMessage, _ session: Session) {
        self.init(
            session: session.number,
            sequence: outbound.sequence,
            qos: outbound.qos,
            retain: outbound.retain,
            identifiers: outbound.identifiers,
            share: session.interest.shares[outbound.share]?.string,
            state: .queued
        )
    }
}
