package import MQTTCodec
import NIOCore

// What the core writes to its store, and what waits until it is written.
extension Broker {
    // MARK: Sessions

    /// A client has got its session: stores it when it is to outlive the connection.
    ///
    /// One that was stored stays so until it ends, since messages of its queue may be in the store alone.
    func store(_ session: Session) {
        guard session.isStored || session.isPersistent else { return }
        session.isStored = true
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
                    willDueAt: session.willDueAt,
                    takenForRead: session.takenForRead
                )
            )
        )
    }

    // MARK: Waiting

    /// Does something for a client, who waits until what it changes in the store is written.
    @inline(__always)
    func recordingWrites<Result>(of session: Session, _ body: () -> Result) -> Result {
        guard let journal else { return body() }
        let writes = journal.writes
        let result = body()
        if journal.writes != writes { session.lastBatch = journal.openNumber }
        return result
    }

    /// The client waits for everything that anybody has changed so far.
    func waitForAll(_ session: Session) {
        guard let journal else { return }
        journal.hurry()
        session.lastBatch = max(session.lastBatch, unwrittenBatch)
    }

    /// The last batch that anything has been put into.
    var unwrittenBatch: UInt64 {
        guard let journal else { return 0 }
        return journal.isEmpty ? journal.openNumber - 1 : journal.openNumber
    }

    /// Answers a client with PUBACK, PUBREC, PUBREL or PUBCOMP, when what that confirms is written.
    @inline(__always)
    package func acknowledge(
        _ type: PacketType,
        _ packetID: PacketID,
        _ reason: ReasonCode,
        on connection: VirtualConnection,
        _ stream: PacketStream
    ) {
        effort &+= 1
        let batch = connection.session?.lastBatch ?? 0
        if batch <= durableBatch {
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
            noteHeld(connection)
        }
        sentPacket(on: connection)
    }

    /// Answers a client with SUBACK or UNSUBACK; it waits in the output until what it confirms is written, and all that
    /// follows with it.
    package func answer(_ packet: Packet, on connection: VirtualConnection, _ stream: PacketStream) {
        stream.append(packet)
        sentPacket(on: connection)
        if let session = connection.session { cork(stream, until: session.lastBatch, connection) }
    }

    /// So does the CONNACK of a new session.
    func corkNewSession(of connection: VirtualConnection) {
        guard case .packets(let stream) = connection.outlet, let session = connection.session else { return }
        cork(stream, until: session.firstBatch, connection)
    }

    private func cork(_ stream: PacketStream, until batch: UInt64, _ connection: VirtualConnection) {
        guard batch > durableBatch else { return }
        stream.cork(until: batch)
        noteHeld(connection)
    }

    func noteHeld(_ connection: VirtualConnection) {
        guard !connection.isHeld else { return }
        connection.isHeld = true
        held.append(connection)
    }

    /// Whether everything that the connection's client has brought about so far is written.
    package func isStored(_ connection: VirtualConnection) -> Bool {
        let batch = connection.session.map { max($0.firstBatch, $0.lastBatch) } ?? connection.lastBatch
        return batch <= durableBatch
    }

    /// Calls back when everything that the connection's client has brought about so far is written.
    ///
    /// - Parameter done: called once on the core loop, at once where nothing is to be waited for: false when the store
    ///   can't write now, and so can't promise anything.
    package func whenStored(_ connection: VirtualConnection, _ done: @escaping (_ isStored: Bool) -> Void) {
        let batch = connection.session.map { max($0.firstBatch, $0.lastBatch) } ?? connection.lastBatch
        guard batch > durableBatch else { return done(true) }
        guard journal?.failure == nil else { return done(false) }
        waiters.add(batch, done)
    }

    /// Calls back when everything is written that there is.
    package func whenAllStored(_ done: @escaping (_ isStored: Bool) -> Void) {
        guard let journal else { return done(true) }
        guard journal.failure == nil else { return done(false) }
        commitIfDue(evenUnhurried: true)
        waiters.add(unwrittenBatch, done)
        settleWaiters()
    }

    // MARK: Commit

    /// Sees to it that what has been changed is written, also where nothing is to be sent; to be called after each piece
    /// of work.
    @inline(__always)
    package func noteChanges() {
        guard let journal, !journal.isEmpty else { return }
        isStoreRefusing = journal.isRefusing
        if journal.isUrgent ? !journal.isCommitting : !isUnhurriedCommitScheduled { requestFlush() }
    }

    /// Hands the open batch to the store, unless it is still at work on the one before.
    func commitIfDue(evenUnhurried: Bool = false) {
        guard let journal else { return }
        isStoreRefusing = journal.isRefusing
        guard journal.isDue(evenUnhurried: evenUnhurried || !waiters.isEmpty) else {
            return scheduleUnhurriedCommit(journal)
        }
        journal.commit { [mailbox] number, failure in
            mailbox? { $0.committed(number, failure) }
        }
    }

    private func committed(_ number: UInt64, _ failure: StoreFailure?) {
        guard let journal else { return }
        let hadFailed = journal.failure != nil
        journal.committed(failure)
        isStoreRefusing = journal.isRefusing
        guard failure == nil else {
            onStoreFailure?(failure)
            for done in waiters.take() { done(false) }
            timers.add(.storeRetry, at: now + .seconds(1))
            return
        }
        if hadFailed { onStoreFailure?(nil) }
        lastWritten = number
        if durableBatch != .max { durableBatch = number }
        if !unwrittenEnds.isEmpty { unwrittenEnds = unwrittenEnds.filter { $0.value > number } }
        releaseHeld(through: number)
        settleWaiters()
        requestFlush()
    }

    /// Tries again what the store could not write.
    func retryCommit() {
        journal?.retry { [mailbox] number, failure in
            mailbox? { $0.committed(number, failure) }
        }
    }

    private func scheduleUnhurriedCommit(_ journal: Journal) {
        guard !journal.isEmpty, !isUnhurriedCommitScheduled else { return }
        isUnhurriedCommitScheduled = true
        timers.add(.unhurriedCommit, at: now + .milliseconds(50))
    }

    func unhurriedCommit() {
        isUnhurriedCommitScheduled = false
        commitIfDue(evenUnhurried: true)
    }

    private func releaseHeld(through batch: UInt64) {
        var stillHeld: ContiguousArray<VirtualConnection> = []
        for connection in held {
            switch connection.outlet {
            case .packets(let stream): connection.isHeld = stream.release(through: batch)
            case .messages(let sink): connection.isHeld = sink.release(through: batch)
            }
            if connection.isHeld { stillHeld.append(connection) }
            markDirty(connection)
        }
        held = stillHeld
    }

    private func settleWaiters() {
        for done in waiters.take(through: lastWritten) { done(true) }
    }

    // MARK: Refusing

    /// What a client is told: MQTT has no better word for a full disk in PUBACK and SUBACK; others have 503 and 5.03.
    func storeRefusal(of session: Session) -> ReasonCode { session.stream == nil ? .serverUnavailable : .quotaExceeded }

    /// Whether a message can't be taken without the store.
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
            share: session.shares[outbound.share]?.string,
            state: .queued
        )
    }
}
