import BrokerCore
import MQTTCodec

/// What the standard says a broker does, in the plainest terms: lists that are searched from end to end.
///
/// It shares the value types of the codec with the real one, and `TopicFilter.matches`, which is not how that one
/// matches. Where the standard leaves a choice, the model allows each.
final class ModelBroker {
    let setting: Schedule.Setting
    /// Milliseconds since the start.
    private(set) var now: Int64 = 0
    private(set) var sessions: [ModelSession] = []
    var retained: [String: ModelMessage] = [:]
    var shares: [Share] = []
    /// Sessions whose queue overflowed in this tick, under the policy `disconnect`.
    var overflowed: [ModelSession] = []
    /// Those of them that are being disconnected, in no order: which of them get each other's wills is open.
    private(set) var ending: [ModelSession] = []
    /// What comes about in one moment, for one reason, is one batch.
    private(set) var batch = 0
    /// Whether what comes about in this moment comes in an order: not where sessions end at the same time.
    private(set) var isOrdered = true
    /// How many messages of shared subscriptions have gone from one member to another, for sure.
    var passedOn = (sent: 0, waiting: 0)

    init(setting: Schedule.Setting) { self.setting = setting }

    func session(_ client: Int) -> ModelSession? { sessions.first { $0.client == client } }

    func nextBatch() { batch += 1 }

    /// What comes about in there may come in any order.
    func inNoOrder(_ body: () -> Void) {
        let wasOrdered = isOrdered
        isOrdered = false
        body()
        isOrdered = wasOrdered
    }

    // MARK: Connections

    func connect(_ client: Int, _ wanted: Schedule.Connecting, text: String) -> ModelConnection {
        let isAway = session(client)?.connection == nil
        if let old = session(client), !isAway { takeOver(old, wanted) }
        // Clean Start ends what there is [MQTT-3.1.2-4].
        if wanted.cleanStart, let old = session(client) { end(old, isAway: isAway) }
        let connection = ModelConnection(client, wanted, setting, now: now)
        let former = session(client)
        connection.answers.append(.connack(sessionPresent: former != nil))
        let session = former ?? ModelSession(client: client, hasBoundedQueue: setting.queue != nil)
        if former == nil { sessions.append(session) }
        session.connection = connection
        // CleanSession 0 of 3.1.1 is a session that never ends (MQTT 5.0 §3.1.2.11.2).
        session.expiryInterval = wanted.version == .v5 ? wanted.sessionExpiryInterval : wanted.cleanStart ? 0 : .max
        session.isStored = session.isStored || session.expiryInterval > 0
        session.expiresAt = nil
        // A will that waits is not sent any more [MQTT-3.1.3-9].
        session.will = wanted.will.map { ModelSession.Will(text: text, wanted: $0) }
        for place in session.inflight.indices {
            session.inflight[place].usesQuota = false
            guard session.inflight[place].isReleased else { continue }
            // [MQTT-4.4.0-1]
            connection.answers.append(.acknowledgement(.pubrel, session.inflight[place].packetID, [.success]))
        }
        session.sendAhead()
        return connection
    }

    /// [MQTT-3.1.4-3]; a will with a delay is kept back for a session that goes on [MQTT-3.1.3-9].
    private func takeOver(_ session: ModelSession, _ wanted: Schedule.Connecting) {
        let goesOn = !wanted.cleanStart && session.expiryInterval > 0
        if goesOn, let will = session.will, will.wanted.delayInterval > 0 { session.will = nil }
        close(session, .sessionTakenOver)
    }

    /// The broker ends the connection.
    func close(_ session: ModelSession, _ reason: ReasonCode) {
        guard let connection = session.connection else { return }
        connection.isClosed = true
        // 3.1.1 has no words for it [MQTT-3.14.0-1].
        if connection.version == .v5 { connection.answers.append(.disconnect(reason)) }
        detach(session)
    }

    /// The client's end of the connection is gone: what was on its way is lost.
    func lose(_ session: ModelSession) {
        session.connection?.atMostOnce.lose()
        detach(session)
    }

    func disconnect(_ session: ModelSession, _ reason: ReasonCode, expiry: UInt32?) {
        if let expiry {
            // MQTT 5.0 §3.14.2.2.2
            guard session.expiryInterval > 0 || expiry == 0 else { return close(session, .protocolError) }
            session.expiryInterval = expiry
        }
        if reason == .normalDisconnection { session.will = nil }
        lose(session)
    }

    private func detach(_ session: ModelSession) {
        session.connection = nil
        guard session.expiryInterval > 0 else { return end(session) }
        session.expiresAt = session.expiryInterval == .max ? nil : now + Int64(session.expiryInterval) * 1_000
        guard let will = session.will else { return }
        let due = now + Int64(will.wanted.delayInterval) * 1_000
        session.will?.dueAt = due
        if due <= now { publishWill(session) }
    }

    /// The end of a session makes its will due (MQTT 5.0 §3.1.3.2.2).
    ///
    /// - Parameter isAway: its client has been for a while, so that its messages must be read back before others get
    ///   them, and the will may overtake them.
    private func end(_ session: ModelSession, isAway: Bool = false) {
        sessions.removeAll { $0 === session }
        let wasOrdered = isOrdered
        if isAway { isOrdered = false }
        passOn(session)
        session.loseMessages()
        if isOrdered { nextBatch() }
        publishWill(session)
        isOrdered = wasOrdered
    }

    private func publishWill(_ session: ModelSession) {
        guard let will = session.will, let topic = try? TopicName(Schedule.willTopic(session.client)) else { return }
        session.will = nil
        publish(
            ModelMessage(
                topic: topic,
                text: will.text,
                qos: will.wanted.qos,
                retain: will.wanted.retain,
                contentType: nil,
                expiresAt: will.wanted.messageExpiryInterval.map { now + Int64($0) * 1_000 },
                publisher: session.client
            )
        )
    }

    /// The tick ends: clients whose queue overflowed are disconnected; their wills may make others overflow.
    func endTick() {
        while !overflowed.isEmpty {
            ending = overflowed
            overflowed = []
            for session in ending where session.connection != nil {
                guard let will = session.will else { continue }
                if will.wanted.delayInterval == 0 || session.expiryInterval == 0 { publishWill(session) }
            }
            for session in ending { close(session, .quotaExceeded) }
            ending = []
        }
    }

    // MARK: Time

    /// When something is due next.
    var nextDeadline: Int64? {
        sessions.flatMap { session in
            [
                session.expiresAt, session.will?.dueAt,
                session.connection.flatMap { connection in
                    connection.keepAliveTimeout.map { connection.heardAt + $0 }
                },
            ].compactMap { $0 }
        }.min()
    }

    /// Moves the time on, over no deadline.
    func advance(to time: Int64) {
        now = time
        for session in sessions {
            session.queue.removeExpired(at: now)
            session.owed.removeExpired(at: now)
        }
        for session in sessions {
            guard let connection = session.connection, let timeout = connection.keepAliveTimeout else { continue }
            // [MQTT-3.1.2-22]
            if connection.heardAt + timeout <= now { close(session, .keepAliveTimeout) }
        }
        let over = sessions.filter { $0.expiresAt.map { $0 <= now } ?? false }
        let wills = sessions.filter { $0.will?.dueAt ?? .max <= now }
        for session in wills { publishWill(session) }
        isOrdered = over.count + wills.count == 1
        for session in over { end(session, isAway: true) }
        isOrdered = true
        endTick()
    }

    /// The broker crashes and starts again.
    ///
    /// Sessions that were to end with their connection are forgotten, wills and all; the others lose their connection now, and
    /// get what was stored for the former of shared subscriptions.
    func restart(at time: Int64) {
        now = time
        nextBatch()
        for session in sessions { session.connection?.atMostOnce.lose() }
        let over = sessions.filter { $0.connection != nil && $0.expiryInterval == 0 }
        sessions.removeAll { session in over.contains { $0 === session } }
        for session in sessions {
            session.owed.restart { filter in
                let qos = session.subscriptions[filter]?.options.qos ?? .atMostOnce
                return qos == .atMostOnce ? [] : retainedCopies(for: session, filter)
            }
        }
        for session in sessions where session.connection != nil {
            session.connection = nil
            session.expiresAt = session.expiryInterval == .max ? nil : now + Int64(session.expiryInterval) * 1_000
            if let will = session.will { session.will?.dueAt = now + Int64(will.wanted.delayInterval) * 1_000 }
        }
        inNoOrder {
            for session in over {
                if session.isStored { passOn(session) }
                session.loseMessages()
            }
        }
        advance(to: now)
    }
}
