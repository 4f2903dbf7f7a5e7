import MQTTCodec
package import NIOCore

extension Broker {
    /// The longest time between two checks of a connection.
    private static var connectionLook: TimeAmount { .seconds(60) }

    /// The longest time from the expiry of a queued message to its removal, while its client is away.
    private static var messageExpiryLook: TimeAmount { .seconds(60) }

    /// When `advance(to:)` has work to do; nil when no timer is set.
    package var nextDeadline: NIODeadline? { turn.isBehindTime ? nil : timers.nextDeadline }

    /// Sets the time of the next event, and handles due timers.
    package func advance(to time: NIODeadline) {
        turn.now = max(now, time)
        guard !turn.isBehindTime, !handleDue() else { return }
        turn.isBehindTime = true
        goOn { $0.handleDue() }
    }

    /// - Returns: whether all due timers were handled; false when the turn was over before that.
    private func handleDue() -> Bool {
        while let event = timers.popDue(at: now) {
            handle(event)
            count(effort: 32)
            if isTurnOver, let next = timers.nextDeadline, next <= now { return false }
        }
        turn.isBehindTime = false
        return true
    }

    /// Starts the connect timeout of a network connection, which has to send its CONNECT [MQTT-3.1.4-1].
    package func expectConnect(on connection: VirtualConnection) {
        statistics.sockets &+= 1
        connection.lookTimer = timers.add(
            .connectTimeout(connection.reference()),
            at: now + .seconds(Int64(limits.connectTimeout))
        )
    }

    /// Starts the Keep Alive check.
    ///
    /// - Returns: the Keep Alive in force, in seconds (Server Keep Alive, MQTT 5.0 §3.2.2.3.14).
    func watchKeepAlive(_ connection: VirtualConnection, _ request: ConnectRequest) -> UInt16 {
        let requested = request.keepAlive
        let maximum = request.takesServerKeepAlive ? UInt16(clamping: limits.keepAliveMaximum) : .max
        let keepAlive = maximum < .max && (requested == 0 || requested > maximum) ? maximum : requested
        timers.cancel(connection.lookTimer)
        connection.lookTimer = nil
        guard keepAlive > 0 else { return 0 }
        // One and a half times the Keep Alive [MQTT-3.1.2-22].
        let timeout = TimeAmount.milliseconds(Int64(keepAlive) * 1_500)
        connection.keepAliveTimeout = timeout
        connection.lookTimer = timers.add(
            .keepAlive(connection.reference()),
            at: now + min(timeout, Self.connectionLook)
        )
        return keepAlive
    }

    /// Ends the connection when its token expires.
    func watchToken(_ connection: VirtualConnection, until expiresAt: NIODeadline?) {
        guard let expiresAt else { return }
        connection.tokenExpiresAt = expiresAt
        timers.cancel(connection.tokenTimer)
        connection.tokenTimer = timers.add(
            .tokenExpiry(connection.reference()),
            at: min(expiresAt, now + Self.connectionLook)
        )
    }

    private func checkToken(_ connection: VirtualConnection) {
        guard connection.session != nil, let expiresAt = connection.tokenExpiresAt else { return }
        guard expiresAt <= now else { return watchToken(connection, until: expiresAt) }
        end(connection, reason: .notAuthorized, detail: "the token is over")
    }

    func scheduleExpiry(_ session: Session) {
        let due = session.expiresAt
        guard due != .distantFuture, due < session.life.expiryTimer?.deadline ?? .distantFuture else { return }
        timers.cancel(session.life.expiryTimer)
        session.life.expiryTimer = timers.add(.sessionExpiry(session.name, session.number), at: due)
    }

    func scheduleWill(_ session: Session, at due: NIODeadline) {
        session.life.willDueAt = due
        guard due < session.life.willTimer?.deadline ?? .distantFuture else { return }
        timers.cancel(session.life.willTimer)
        session.life.willTimer = timers.add(.will(session.name, session.number), at: due)
    }

    /// Schedules the removal of expired messages from the queue, so that they use neither limits nor disk space.
    @inline(__always)
    func scheduleMessageExpiry(_ session: Session) {
        guard session.life.messageTimer == nil, session.queue.earliestExpiry != .distantFuture else { return }
        session.life.messageTimer = timers.add(
            .messageExpiry(session.name, session.number),
            at: now + Self.messageExpiryLook
        )
    }

    private func checkMessageExpiry(_ session: Session) {
        session.life.messageTimer = nil
        dropExpired(session)
        scheduleMessageExpiry(session)
    }

    private func handle(_ event: TimerQueue.Event) {
        switch event {
        case .connectTimeout(let reference):
            guard let connection = reference.connection, connection.session == nil else { return }
            refuse(connection, reason: .maximumConnectTime, detail: "not connected in time")
        case .keepAlive(let reference):
            if let connection = reference.connection { checkKeepAlive(connection) }
        case .tokenExpiry(let reference):
            if let connection = reference.connection { checkToken(connection) }
        case .sessionExpiry(let name, let number):
            if let session = registry[name, number] { checkExpiry(session) }
        case .will(let name, let number):
            if let session = registry[name, number] { checkWill(session) }
        case .messageExpiry(let name, let number):
            if let session = registry[name, number] { checkMessageExpiry(session) }
        case .systemTopics: updateSystemTopics()
        case .storeRetry: retryCommit()
        case .lazyCommit: lazyCommit()
        case .retainedExpiry: removeExpiredRetained()
        case .loadRetry(let name, let number):
            if let session = registry[name, number] { loadAgain(session) }
        case .passOn(let left): passOn(left)
        }
    }

    private func checkExpiry(_ session: Session) {
        session.life.expiryTimer = nil
        guard session.connection == nil else { return }
        guard session.expiresAt <= now else { return scheduleExpiry(session) }
        statistics.sessionsExpired &+= 1
        host.events?.note(.sessionExpired, of: nil, level: nil) {
            [.clientID(session.clientID), .userName(session.userName)]
        }
        endSession(session)
    }

    private func checkWill(_ session: Session) {
        session.life.willTimer = nil
        guard let due = session.life.willDueAt, let will = session.will else { return }
        guard due <= now else { return scheduleWill(session, at: due) }
        session.life.will = nil
        session.life.willDueAt = nil
        recount(session)
        noteIdle(session)
        save(session)
        publishWill(will, of: session)
    }

    private func checkKeepAlive(_ connection: VirtualConnection) {
        guard connection.session != nil, let timeout = connection.keepAliveTimeout else { return }
        let due = connection.lastActivity + timeout
        guard due > now else { return end(connection, reason: .keepAliveTimeout) }
        connection.lookTimer = timers.add(
            .keepAlive(connection.reference()),
            at: min(due, now + Self.connectionLook)
        )
    }
}
