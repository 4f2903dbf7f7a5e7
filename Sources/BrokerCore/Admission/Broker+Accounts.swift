import MQTTCodec
import NIOCore

// The accounting of memory and numbers to holders, and their limits.
extension Broker {
    /// The holder for a connection with an accepted user name.
    func holder(_ connection: VirtualConnection, _ userName: String?) -> Holder {
        // A user name that was not checked has no share.
        let isProven = access.authenticator.knowsUsers || connection.transportIdentity != nil
        return Holder(
            network: connection.network,
            userName: isProven ? userName : nil,
            knowsUsers: access.authenticator.knowsUsers
        )
    }

    /// The reason why limits don't let a client connect; nil when they do.
    ///
    /// An idle session is removed to make room for a new one.
    func lackOfRoom(
        _ request: ConnectRequest,
        _ name: SessionName,
        _ claim: Claim,
        _ holder: Holder
    ) -> ReasonCode? {
        let session = request.isNameless ? nil : registry[name]
        let former = session?.connection == nil ? nil : session?.holder
        if let refusal = accounts.connections.refusal(for: holder, replacing: former) {
            statistics.connectionsRefused &+= 1
            return refusal.isOwnShare ? .quotaExceeded : .serverBusy
        }
        let cost = Session.cost(clientID: name.string, userName: request.userName, will: request.will)
        let more = max(0, cost - (session?.counted.bytes ?? 0))
        if accounts.sessionBytes.refusal(of: more, for: holder) != nil {
            statistics.sessionsRefused &+= 1
            return .quotaExceeded
        }
        let isNew = claim == .givesWay || session.map { !$0.isPersistent } ?? true
        guard isNew, !request.isNameless, min(request.sessionExpiryInterval, sessionExpiryMaximum) > 0 else {
            return nil
        }
        return makeRoomForSession(of: holder) ? nil : .quotaExceeded
    }

    private func makeRoomForSession(of holder: Holder) -> Bool {
        guard accounts.sessions.refusal(for: holder) != nil else { return true }
        if let idle = registry.firstIdle(of: holder) {
            statistics.sessionsGivenWay &+= 1
            endSession(idle)
        }
        guard accounts.sessions.refusal(for: holder) != nil else { return true }
        statistics.sessionsRefused &+= 1
        return false
    }

    var sessionExpiryMaximum: UInt32 { UInt32(clamping: limits.sessionExpiryMaximum) }

    // MARK: Sessions

    /// Counts a session for its present holder: its bytes without messages, and the session itself if it is
    /// persistent.
    func recount(_ session: Session, for holder: Holder) {
        if holder != session.holder {
            forgetCount(of: session)
            session.counted.holder = holder
            noteQueued(session)
        }
        recount(session)
    }

    /// Counts the change in a session's bytes.
    func recount(_ session: Session) {
        guard !session.hasEnded else { return }
        let bytes = session.cost
        accounts.sessionBytes.add(bytes - session.counted.bytes, for: session.holder)
        session.counted.bytes = bytes
        let lasts = session.isPersistent
        guard lasts != session.counted.isLasting else { return }
        accounts.sessions.add(lasts ? 1 : -1, for: session.holder)
        session.counted.isLasting = lasts
    }

    /// Removes an ended session from the counts.
    func forgetCount(of session: Session) {
        accounts.sessionBytes.add(-session.counted.bytes, for: session.holder)
        accounts.queuedBytes.addToTotal(-session.counted.queued)
        accounts.queuedBytes.addToShares(-session.counted.sharedQueued, of: session.holder)
        if session.counted.isLasting { accounts.sessions.giveBack(for: session.holder) }
        session.counted.bytes = 0
        session.counted.queued = 0
        session.counted.sharedQueued = 0
        session.counted.isLasting = false
    }

    // MARK: Messages

    /// Counts a change in a session's messages: the total at once, the shares when the change is large enough.
    @inline(__always)
    func noteQueued(_ session: Session) {
        let bytes = session.queuedBytes
        accounts.queuedBytes.addToTotal(bytes &- session.counted.queued)
        session.counted.queued = bytes
        let difference = bytes &- session.counted.sharedQueued
        if difference > Session.sharingStep || difference < -Session.sharingStep { shareQueued(session) }
    }

    @inline(never)
    private func shareQueued(_ session: Session) {
        accounts.queuedBytes.addToShares(session.counted.queued - session.counted.sharedQueued, of: session.holder)
        session.counted.sharedQueued = session.counted.queued
    }

    /// Whether the session may queue one more message.
    ///
    /// - Parameter freed: bytes that the session has freed for the message.
    func hasRoom(for outbound: OutboundMessage, in session: Session, besides freed: Int = 0) -> Bool {
        let cost = outbound.cost
        return session.queue.hasRoom(for: cost, limits: limits.queue)
            && (freed >= cost || accounts.queuedBytes.refusal(of: cost, for: session.holder) == nil)
    }

    /// Whether one more message may be sent before earlier ones are acknowledged.
    ///
    /// One is always allowed, so that delivery continues when other clients have filled their queues.
    @inline(__always)
    func mayHoldMore(_ session: Session) -> Bool {
        accounts.queuedBytes.used < limits.queuedBytes || session.window.count == 0
    }

    /// Notes that the client is away: the session may be removed for a new one as long as no message waits in it.
    func noteIdle(_ session: Session) {
        registry.noteIdle(session)
    }
}

extension Session {
    /// The change in bytes of a session's messages at which its shares are counted again.
    static let sharingStep = 16_384

    /// Bytes in memory of a received Packet Identifier that is not released, and the number of them at which they are
    /// counted again.
    static let receivedCost = 8
    static let receivedStep = 64

    /// The bytes of an empty session: itself, and its entries in tables.
    private static let overhead = 1_024

    /// Bytes in memory of a session without subscriptions and messages.
    static func cost(clientID: String, userName: String?, will: Will?) -> Int {
        overhead + MemoryCost.text(clientID) + MemoryCost.text(userName) + (will?.cost ?? 0)
    }

    /// Bytes in memory without messages.
    var cost: Int {
        Self.cost(clientID: clientID, userName: userName, will: nil) + life.willCost + counted.subscriptionBytes
            + interest.shares.bytes + inbound.received.count * Self.receivedCost
    }

    /// Bytes in memory of its messages; messages in the store alone count with their size once read back.
    @inline(__always)
    var queuedBytes: Int { queue.bytes + window.bytes + storage.inflightBytes }

    /// Whether its client is away, and the session has nothing that must not be lost: messages, incomplete QoS 2
    /// messages of the client, a pending will.
    var isIdle: Bool {
        connection == nil && !hasEnded && isPersistent && queue.isEmpty && window.count == 0 && storage.inflight.isEmpty
            && inbound.received.isEmpty && will == nil
    }
}

extension Subscription {
    /// Bytes in memory: itself, its filter as the client wrote it and as it is indexed, its entries in both tables.
    static func cost(_ filter: TopicFilter) -> Int {
        let path = filter.filter.utf8Span.span.bytes
        let texts = filter.string.utf8.count + (filter.shareName == nil ? 0 : filter.string.utf8.count) + path.byteCount
        let nodes = filter.hasWildcards ? LevelTrie<FilterNode>.cost(path: path) : 0
        return 640 + texts + nodes
    }
}
