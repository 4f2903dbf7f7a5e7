import MQTTCodec
import NIOCore

// What the core writes to its stores, and how it reads it back.
extension Broker {
    /// Writes a persistent session's own record.
    func save(_ session: Session) {
        guard session.isPersistent else { return }
        sessionStore.save(
            FormerSessionRecord(
                clientID: session.clientID,
                userName: session.userName,
                expiryInterval: session.expiryInterval,
                expiresAt: session.expiresAt,
                will: session.will,
                willDueAt: session.willDueAt
            )
        )
    }

    /// Brings sessions and retained messages back as the stores have them.
    func recover() {
        retainedStore.forEachRetained { topic, message in
            retained.set(message, topic: topic.string.utf8Span.span.bytes)
        }
        sessionStore.forEachSession { stored in restore(stored) }
        for session in sessions.values { resumeClocks(of: session) }
    }

    private func restore(_ stored: StoredSession) {
        let record = stored.session
        let session = newSession(record.clientID, PublisherID(clientID: record.clientID))
        session.userName = record.userName
        session.expiryInterval = record.expiryInterval
        session.expiresAt = record.expiresAt
        session.will = record.will
        session.willDueAt = record.willDueAt
        session.received = Set(stored.received)
        sessions[record.clientID] = session
        for wanted in stored.subscriptions {
            guard let filter = try? TopicFilter(wanted.filter) else { continue }
            let subscription = Subscription(
                session: session,
                filter: filter,
                options: wanted.options,
                identifier: wanted.identifier
            )
            session.subscriptions[wanted.filter] = subscription
            router.insert(subscription)
        }
        for outbound in stored.outbound {
            session.nextSequence = max(session.nextSequence, outbound.outbound.sequence)
            if let delivery = outbound.delivery {
                session.window.restore(outbound.outbound, id: delivery.packetID, state: delivery.state)
            } else {
                session.queue.append(outbound.outbound)
            }
        }
    }

    /// A session that was connected when the broker stopped has lost its connection now, once and for all: what runs
    /// from now on is stored, so that it does not begin anew at the next start.
    private func resumeClocks(of session: Session) {
        let expires = session.expiresAt == .distantFuture && session.expiryInterval != .max
        if expires { session.expiresAt = now + .seconds(Int64(session.expiryInterval)) }
        scheduleExpiry(session)
        var isWillDue = false
        if let will = session.will {
            isWillDue = session.willDueAt == nil
            scheduleWill(session, at: session.willDueAt ?? now + .seconds(Int64(will.delayInterval)))
        }
        if expires || isWillDue { save(session) }
    }
}
