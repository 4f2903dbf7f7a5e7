import MQTTCodec
import NIOCore

// The owner of a session, and the rights of a CONNECT under its name.
extension Broker {
    /// The relation of a client to the session of its Client Identifier.
    enum Claim {
        /// The session is the client's, or there is none.
        case own
        /// The session belongs to an unproven user: a new one replaces it.
        case givesWay
        /// The session belongs to another user, and only that user may use it.
        case foreign
    }

    func claim(to name: SessionName, _ holder: Holder, _ userName: String?) -> Claim {
        guard !name.isOwn, let session = registry[name], !isOver(session) else { return .own }
        guard session.holder.isSameUser(as: holder) else { return session.holder.isUser ? .foreign : .givesWay }
        // Neither user name is proven: if users may read different topics, queued messages are not for another name.
        return access.authorizer == nil || session.userName.isSame(as: userName) ? .own : .givesWay
    }

    /// Whether it has expired, though its timer has not fired yet.
    private func isOver(_ session: Session) -> Bool { session.connection == nil && session.expiresAt <= now }

    /// Whether a Client Identifier of any protocol is valid in MQTT [MQTT-1.5.4-2].
    func isClientIdentifier(_ text: String) -> Bool { text.utf8.count <= 65_535 && !text.utf8.contains(0) }

    func clientID(for request: ConnectRequest) -> String {
        guard request.clientID.isEmpty else { return request.clientID }
        return request.isNameless ? registry.takeNamelessID() : assignedClientID()
    }

    /// A Client Identifier that can't be guessed, so that no other client can take the session over.
    private func assignedClientID() -> String {
        while true {
            let id =
                "sluice-" + String(UInt64.random(in: .min ... .max), radix: 36)
                + String(UInt64.random(in: .min ... .max), radix: 36)
            if registry[.client(id)] == nil { return id }
        }
    }

    /// Ends the session's existing connection [MQTT-3.1.4-3], and the session itself at Clean Start [MQTT-3.1.2-4].
    ///
    /// - Returns: the session that continues; nil when there is none.
    func takeOver(_ name: SessionName, cleanStart: Bool) -> Session? {
        guard let session = registry[name] else { return nil }
        if let old = session.connection {
            // The will of a connection that is taken over is published at once, unless it has a delay and the session
            // continues [MQTT-3.1.3-9].
            let keepsWill = !cleanStart && session.expiryInterval > 0 && (session.will?.delayInterval ?? 0) > 0
            if keepsWill { session.life.will = nil }
            end(old, reason: .sessionTakenOver)
        }
        // The end of the old connection may have ended the session as well.
        guard let left = registry[name] else { return nil }
        guard !cleanStart, left.expiresAt > now else {
            endSession(left)
            return nil
        }
        return left
    }

    func makeSession(_ name: SessionName) -> Session {
        let session = newSession(name, PublisherID(clientID: name.string))
        registry.add(session)
        return session
    }

    /// Makes a session that no other connection can find.
    ///
    /// It publishes under its Client Identifier, unless another user has a session of that name.
    func makeNamelessSession(
        _ name: SessionName,
        _ userName: String?,
        _ connection: VirtualConnection,
        isTaken: Bool,
        isTransient: Bool
    ) -> Session {
        let session = newSession(name, isTaken ? .none : PublisherID(clientID: name.string))
        session.names.isNameless = true
        session.names.isTransient = isTransient
        registry.add(session)
        if isTransient, limits.publishRate > 0 {
            session.inbound.publishRate = access.transientRate(
                of: userName,
                at: connection.remoteAddress,
                limits.publishRate,
                now: now
            )
        }
        return session
    }

    private func newSession(_ name: SessionName, _ publisherID: PublisherID) -> Session {
        let session = Session(name: name, number: registry.takeNumber(), publisherID: publisherID)
        session.routing.rightsGeneration = access.rightsGeneration
        return session
    }

    /// Renames one of the broker's own sessions that an earlier version has stored under a name that clients could
    /// have.
    func rename(to name: SessionName, _ userName: String?) {
        let former = SessionName.client(name.string)
        guard registry[name] == nil, let session = registry[former], session.names.isFromSharedNames,
            session.connection == nil, !session.isLoading, session.userName.isSame(as: userName)
        else { return }
        // The timers refer to the session by its former name.
        forgetTimers(of: session)
        registry.rename(session, to: name)
        session.names.isFromSharedNames = false
        scheduleMessageExpiry(session)
        if session.isStored {
            journal?.append(.moveSession(from: former, session.number))
            save(session)
        }
    }
}
