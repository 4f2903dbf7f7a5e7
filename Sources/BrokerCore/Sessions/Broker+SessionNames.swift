import MQTTCodec
import NIOCore

// Whose a session is, and what a CONNECT under its name may do with it.
extension Broker {
    /// What the session of a name is to a client that connects.
    enum Claim {
        /// Its own, or there is none.
        case own
        /// Made by somebody who has not proven to be anybody: it gives way to a new one.
        case givesWay
        /// Another user's, which nobody else gets at.
        case foreign
    }

    func claim(to name: SessionName, _ holder: Holder, _ userName: String?) -> Claim {
        guard !name.isOwn, let session = registry[name], !isOver(session) else { return .own }
        guard session.holder.isSameUser(as: holder) else { return session.holder.isUser ? .foreign : .givesWay }
        // Names that nobody has proven: where users may read different topics, what is queued is not for this one.
        return access.authorizer == nil || session.userName.isSame(as: userName) ? .own : .givesWay
    }

    /// Whether its time is over, though its timer has not come to it yet.
    private func isOver(_ session: Session) -> Bool { session.connection == nil && session.expiresAt <= now }

    /// Whether a Client Identifier is what MQTT can say [MQTT-1.5.4-2], whichever way it has come.
    func isClientIdentifier(_ text: String) -> Bool { text.utf8.count <= 65_535 && !text.utf8.contains(0) }

    func clientID(for request: ConnectRequest) -> String {
        guard request.clientID.isEmpty else { return request.clientID }
        return request.isNameless ? registry.takeNamelessID() : assignedClientID()
    }

    /// Unguessable, so that nobody can take the session over by name.
    private func assignedClientID() -> String {
        while true {
            let id =
                "sluice-" + String(UInt64.random(in: .min ... .max), radix: 36)
                + String(UInt64.random(in: .min ... .max), radix: 36)
            if registry[.client(id)] == nil { return id }
        }
    }

    /// Ends the connection a session still has [MQTT-3.1.4-3], and the session itself at Clean Start [MQTT-3.1.2-4].
    ///
    /// - Returns: the session to go on with; nil when there is none.
    func takeOver(_ name: SessionName, cleanStart: Bool) -> Session? {
        guard let session = registry[name] else { return nil }
        if let old = session.connection {
            // The will of a connection that is taken over is due at once, unless its delay spans the gap and the
            // session goes on [MQTT-3.1.3-9].
            let keepsWill = !cleanStart && session.expiryInterval > 0 && (session.will?.delayInterval ?? 0) > 0
            if keepsWill { session.life.will = nil }
            end(old, reason: .sessionTakenOver)
        }
        // The end of the old connection may have ended the session, too.
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

    /// A session that nobody can find.
    ///
    /// It publishes under its Client Identifier, unless somebody else has a session of that name.
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

    /// Gives one of the broker's own sessions the name that it has now, if an earlier version has stored it under one that
    /// clients could have, too.
    func rename(to name: SessionName, _ userName: String?) {
        let former = SessionName.client(name.string)
        guard registry[name] == nil, let session = registry[former], session.names.isFromSharedNames,
            session.connection == nil, !session.isLoading, session.userName.isSame(as: userName)
        else { return }
        // They know it by its former name.
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
