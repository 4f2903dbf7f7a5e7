import MQTTCodec
import NIOCore

extension Broker {
    /// CONNECT: authenticates, takes over or makes the session, attaches the connection.
    ///
    /// What the session still owes the client is sent by `resume`, after the adapter has answered.
    package func connect(_ request: ConnectRequest, on connection: VirtualConnection) -> ConnectResult {
        // Server shutting down is a DISCONNECT's reason; CONNACK has no such code [MQTT-3.2.2-8].
        guard !isShuttingDown else { return refuse(connection, .serverUnavailable, request) }
        guard connection.session == nil else { return refuse(connection, .protocolError, request) }
        if case .packets = connection.outlet, connectionRate?.take(at: now) == false {
            return refuse(connection, .connectionRateExceeded, request)
        }
        let isAssigned = request.clientID.isEmpty
        let clientID = isAssigned ? assignedClientID() : request.clientID
        let userName: String?
        switch authenticate(request, clientID, connection) {
        case .accepted(let name): userName = name
        case .badCredentials: return refuse(connection, .badUserNameOrPassword, request)
        case .notAuthorized: return refuse(connection, .notAuthorized, request)
        }
        guard connectedCount < limits.connections || sessions[clientID]?.connection != nil else {
            return refuse(connection, .serverBusy, request)
        }
        guard request.isTransient || sessions[clientID] != nil || sessions.count < limits.sessions else {
            return refuse(connection, .quotaExceeded, request)
        }
        if let will = request.will {
            guard Int(will.qos.rawValue) <= limits.maximumQoS else {
                return refuse(connection, .qosNotSupported, request)
            }
            guard !will.retain || limits.retainAvailable else {
                return refuse(connection, .retainNotSupported, request)
            }
        }

        let former = request.isTransient ? nil : takeOver(clientID, cleanStart: request.cleanStart)
        let session =
            request.isTransient ? makeTransientSession(clientID, userName) : former ?? makeSession(clientID)
        session.userName = userName
        let keepAlive = attach(connection, to: session, request)
        observer?.client(connection, .connected(clientID: clientID, userName: userName))
        return ConnectResult(
            reasonCode: .success,
            sessionPresent: former != nil,
            clientID: clientID,
            sessionNumber: session.number,
            isAssigned: isAssigned,
            sessionExpiryInterval: session.expiryInterval,
            keepAlive: keepAlive
        )
    }

    /// Sends what a resumed session owes its client: unacknowledged messages first, then the queue [MQTT-4.4.0-1].
    ///
    /// To be called once the adapter has answered the client's CONNECT.
    ///
    /// - Parameter sequence: the last delivery the client has, when it says so in some way of its own; what was sent up
    ///   to there counts as acknowledged.
    package func resume(_ connection: VirtualConnection, after sequence: UInt64? = nil) {
        guard let session = connection.session else { return }
        if let sequence { completeInflight(through: sequence, session) }
        resumeReleased(session)
        sendQueued(session)
    }

    /// PUBREL is sent again at once: it needs no send quota [MQTT-4.9.0-3].
    ///
    /// The client of a message sink has no use for it: it owns such a message already.
    private func resumeReleased(_ session: Session) {
        var released: [PacketID] = []
        session.window.forEach { id, entry in
            if entry.state == .released { released.append(id) }
        }
        for id in released {
            if session.sink != nil, let entry = session.window.complete(id) {
                forget(entry.outbound, of: session)
            } else {
                writeRelease(id, to: session)
            }
        }
    }

    private func refuse(
        _ connection: VirtualConnection,
        _ reason: ReasonCode,
        _ request: ConnectRequest
    ) -> ConnectResult {
        observer?.client(connection, .refused(reason, detail: nil))
        return ConnectResult(
            reasonCode: reason,
            sessionPresent: false,
            clientID: request.clientID,
            sessionNumber: .none,
            isAssigned: false,
            sessionExpiryInterval: 0,
            keepAlive: 0
        )
    }

    private func authenticate(
        _ request: ConnectRequest,
        _ clientID: String,
        _ connection: VirtualConnection
    ) -> Authentication {
        authenticator.authenticate(
            Credentials(
                clientID: clientID,
                userName: request.userName,
                password: request.password,
                transportIdentity: connection.transportIdentity,
                remoteAddress: connection.remoteAddress
            )
        )
    }

    /// Unguessable, so that nobody can take the session over by name.
    private func assignedClientID() -> String {
        while true {
            let id =
                "sluice-" + String(UInt64.random(in: .min ... .max), radix: 36)
                + String(UInt64.random(in: .min ... .max), radix: 36)
            if sessions[id] == nil { return id }
        }
    }

    /// Ends the connection a session still has [MQTT-3.1.4-3], and the session itself at Clean Start [MQTT-3.1.2-4].
    ///
    /// - Returns: the session to go on with; nil when there is none.
    private func takeOver(_ clientID: String, cleanStart: Bool) -> Session? {
        guard let session = sessions[clientID] else { return nil }
        if let old = session.connection {
            // The will of a connection that is taken over is due at once, unless its delay spans the gap and the
            // session goes on [MQTT-3.1.3-9].
            let keepsWill = !cleanStart && session.expiryInterval > 0 && (session.will?.delayInterval ?? 0) > 0
            if keepsWill { session.will = nil }
            end(old, reason: .sessionTakenOver)
        }
        // The end of the old connection may have ended the session, too.
        guard let left = sessions[clientID] else { return nil }
        guard !cleanStart, left.expiresAt > now else {
            endSession(left)
            return nil
        }
        return left
    }

    private func makeSession(_ clientID: String) -> Session {
        let session = newSession(clientID, PublisherID(clientID: clientID))
        sessions[clientID] = session
        return session
    }

    /// A session that nobody can find.
    ///
    /// It publishes under its Client Identifier, unless that is another user's.
    private func makeTransientSession(_ clientID: String, _ userName: String?) -> Session {
        let isTaken = sessions[clientID].map { $0.userName != userName } ?? false
        return newSession(clientID, isTaken ? .none : PublisherID(clientID: clientID))
    }

    func newSession(_ clientID: String, _ publisherID: PublisherID) -> Session {
        lastSessionNumber += 1
        return Session(
            clientID: clientID,
            number: SessionNumber(rawValue: lastSessionNumber),
            publisherID: publisherID
        )
    }

    /// - Returns: the Keep Alive in force, seconds.
    private func attach(_ connection: VirtualConnection, to session: Session, _ request: ConnectRequest) -> UInt16 {
        let wasPersistent = session.isPersistent
        session.expiryInterval =
            request.isTransient ? 0 : min(request.sessionExpiryInterval, UInt32(clamping: limits.sessionExpiryMaximum))
        session.expiresAt = .distantFuture
        session.will = request.will
        session.willDueAt = nil
        session.receiveMaximum = min(Int(request.receiveMaximum), limits.inflightMessages)
        session.window.beginConnection()
        session.connection = connection
        switch connection.outlet {
        case .packets(let stream):
            session.stream = stream
            stream.maximumPacketSize = request.maximumPacketSize
        case .messages(let sink): session.sink = sink
        }
        connection.session = session
        connection.lastActivity = now
        connectedCount += 1
        statistics.connections &+= 1
        statistics.maximumConnected = max(statistics.maximumConnected, connectedCount)
        if session.isPersistent {
            // A session that was not persistent is new, and holds nothing yet.
            save(session)
        } else if wasPersistent {
            sessionStore.removeSession(session.clientID)
        }
        return watchKeepAlive(connection, request)
    }
}
