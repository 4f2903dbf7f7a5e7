import MQTTCodec
import NIOCore

extension Broker {
    /// Connects a client: authenticates it, takes over or makes the session, attaches the connection.
    ///
    /// `resume` sends the session's pending messages, after the adapter has answered.
    ///
    /// - Parameter completion: called once, at once or when the authenticator has answered; not called when the
    ///   connection ends before.
    package func connect(
        _ request: ConnectRequest,
        on connection: VirtualConnection,
        completion: @escaping (ConnectResult) -> Void
    ) {
        if let reason = reasonToRefuse(connection) { return completion(refuse(connection, reason, request)) }
        let pending = PendingConnect(request, clientID: clientID(for: request), completion)
        let credentials = credentials(of: request, clientID: pending.clientID, connection)
        settle(pending, access.authenticator.authenticate(credentials), on: connection)
    }

    /// Connects a client that an exchange has authenticated; see `beginAuthentication`.
    package func connect(
        _ request: ConnectRequest,
        authenticatedAs userName: String?,
        on connection: VirtualConnection
    ) -> ConnectResult {
        establish(request, clientID: clientID(for: request), userName, on: connection)
    }

    /// The reason to refuse any CONNECT now; nil when there is none.
    func reasonToRefuse(_ connection: VirtualConnection) -> ReasonCode? {
        // CONNACK has no Reason Code Server shutting down, which is for DISCONNECT [MQTT-3.2.2-8].
        guard !registry.isShuttingDown else { return .serverUnavailable }
        guard connection.session == nil, connection.pendingConnect == nil else { return .protocolError }
        if case .packets = connection.outlet, !access.takeConnect(at: now) { return .connectionRateExceeded }
        return nil
    }

    func credentials(of request: ConnectRequest, clientID: String, _ connection: VirtualConnection) -> Credentials {
        Credentials(
            clientID: clientID,
            userName: request.userName,
            password: request.password,
            isToken: request.isToken,
            transportIdentity: connection.transportIdentity,
            remoteAddress: connection.remoteAddress,
            network: connection.network
        )
    }

    /// Continues with a CONNECT after the authenticator's answer.
    private func settle(_ pending: PendingConnect, _ answer: Authentication, on connection: VirtualConnection) {
        let request = pending.request
        switch answer {
        case .accepted(let userName):
            pending.completion(establish(request, clientID: pending.clientID, userName, on: connection))
        case .acceptedToken(let userName, let expiresAt):
            if let expiresAt, expiresAt <= now {
                return pending.completion(
                    refuse(connection, .badUserNameOrPassword, request, detail: "the token has just expired")
                )
            }
            connection.hasToken = true
            connection.tokenExpiresAt = expiresAt
            let result = establish(request, clientID: pending.clientID, userName, on: connection)
            if !result.reasonCode.isError { watchToken(connection, until: expiresAt) }
            pending.completion(result)
        case .badCredentials:
            let isNameless = request.isToken || (request.userName == nil && request.password != nil)
            let detail = isNameless ? "no API key and no token like that is known" : nil
            pending.completion(refuse(connection, .badUserNameOrPassword, request, detail: detail))
        case .notAuthorized: pending.completion(refuse(connection, .notAuthorized, request))
        case .refused(let reason, let detail): pending.completion(refuse(connection, reason, request, detail: detail))
        case .busy: pending.completion(refuse(connection, .serverBusy, request))
        case .pending(let later):
            guard hasRoom(forInput: pending.cost, of: connection) else {
                return pending.completion(refuse(connection, .serverBusy, request))
            }
            connection.pendingConnect = pending
            countBuffers(of: connection)
            pending.generation = access.credentialsGeneration
            later.whenAnswered { [submit = host.submit] answer in
                submit? { $0.answered(pending, answer, on: connection) }
            }
        }
    }

    private func answered(_ pending: PendingConnect, _ answer: Authentication, on connection: VirtualConnection) {
        // The connection may have ended before the answer.
        guard connection.pendingConnect === pending else { return }
        connection.pendingConnect = nil
        countBuffers(of: connection)
        guard pending.generation == access.credentialsGeneration else {
            // The answer is based on credentials that are outdated.
            let credentials = credentials(of: pending.request, clientID: pending.clientID, connection)
            return settle(pending, access.authenticator.authenticate(credentials), on: connection)
        }
        settle(pending, answer, on: connection)
    }

    /// Takes over or makes the session of an authenticated client, and attaches the connection.
    private func establish(
        _ request: ConnectRequest,
        clientID: String,
        _ userName: String?,
        on connection: VirtualConnection
    ) -> ConnectResult {
        count(effort: 128)
        let holder = holder(connection, userName)
        let name = request.scope == .own ? SessionName.own(clientID) : .client(clientID)
        let claim = claim(to: name, holder, userName)
        guard isClientIdentifier(clientID) else {
            let detail = "a Client Identifier has at most 65,535 bytes and no U+0000"
            return refuse(connection, .clientIdentifierNotValid, request, detail: detail)
        }
        guard claim != .foreign else {
            let detail = "the session of that name is another user's"
            return refuse(connection, .clientIdentifierNotValid, request, detail: detail)
        }
        if let reason = reasonToRefuse(request, name, claim, holder) { return refuse(connection, reason, request) }
        let writes = journal?.writes
        if name.isOwn { rename(to: name, userName) }
        let cleanStart = request.cleanStart || claim == .givesWay
        let former = request.isNameless ? nil : takeOver(name, cleanStart: cleanStart)
        let session =
            request.isNameless
            ? makeNamelessSession(
                name,
                userName,
                connection,
                isTaken: claim == .givesWay,
                isTransient: request.scope == .request
            ) : former ?? makeSession(name)
        // Pending messages were let in under the rights of another user.
        if !session.userName.isSame(as: userName) { session.routing.rightsGeneration = 0 }
        session.names.userName = userName
        let keepAlive = attach(connection, to: session, request, holder)
        // CONNACK waits for the store when the session is new, or when a former one is removed; the client of a
        // continued session has had a CONNACK for it before.
        if former == nil, let journal {
            session.storage.firstBatch = journal.writes != writes ? journal.openNumber : commits.batchOfEnd(of: name)
        }
        note(.clientConnected, connection, [])
        return ConnectResult(
            reasonCode: .success,
            sessionPresent: former != nil,
            clientID: clientID,
            sessionNumber: session.number,
            isAssigned: request.clientID.isEmpty,
            sessionExpiryInterval: session.expiryInterval,
            keepAlive: keepAlive
        )
    }

    /// The reason why an authenticated client is refused; nil when there is none.
    private func reasonToRefuse(
        _ request: ConnectRequest,
        _ name: SessionName,
        _ claim: Claim,
        _ holder: Holder
    ) -> ReasonCode? {
        guard !registry.isShuttingDown else { return .serverUnavailable }
        if commits.isRefusing, request.sessionExpiryInterval > 0, request.cleanStart || registry[name] == nil {
            return .quotaExceeded
        }
        if let will = request.will, let reason = reasonToRefuse(will) { return reason }
        return lackOfRoom(request, name, claim, holder)
    }

    /// The reason to refuse a will; nil when there is none.
    private func reasonToRefuse(_ will: Will) -> ReasonCode? {
        guard Int(will.qos.rawValue) <= limits.maximumQoS else { return .qosNotSupported }
        guard !will.retain || limits.retainAvailable else { return .retainNotSupported }
        // A payload that is declared as UTF-8 must be UTF-8 (MQTT 5.0 §3.1.3.2.3).
        let isText = limits.validatesPayloadFormat && will.properties.payloadFormatIndicator == true
        return isText && !will.payload.readableBytesSpan.isUTF8 ? .payloadFormatInvalid : nil
    }

    /// Sends the pending messages of a resumed session: unacknowledged messages first, then the queue [MQTT-4.4.0-1].
    ///
    /// To be called once the adapter has answered the client's CONNECT.
    ///
    /// - Parameter sequence: the last delivery that the client has, if its protocol reports it; sent deliveries up to
    ///   it count as acknowledged.
    package func resume(_ connection: VirtualConnection, after sequence: UInt64? = nil) {
        guard let session = connection.session else { return }
        corkNewSession(of: connection)
        guard session.storage.inflight.isEmpty else { return loadInflight(session, after: sequence) }
        if let sequence { complete(through: sequence, session) }
        resumeReleased(session)
        sendQueued(session)
    }

    /// Sends PUBREL again, at once: it needs no send quota [MQTT-4.9.0-3].
    ///
    /// A message sink gets none: its client owns the message already.
    func resumeReleased(_ session: Session) {
        var released: [PacketID] = []
        session.window.forEach { id, entry in
            if entry.state == .released { released.append(id) }
        }
        for id in released {
            if session.sink != nil, let outbound = session.window.complete(id) {
                finish(outbound)
            } else {
                writeRelease(id, to: session)
            }
        }
    }

    func refuse(
        _ connection: VirtualConnection,
        _ reason: ReasonCode,
        _ request: ConnectRequest,
        detail: String? = nil
    ) -> ConnectResult {
        noteRefused(connection, reason, clientID: request.clientID, userName: request.userName, detail: detail)
        return .refused(reason, clientID: request.clientID)
    }

    /// - Returns: the Keep Alive in force, in seconds.
    private func attach(
        _ connection: VirtualConnection,
        to session: Session,
        _ request: ConnectRequest,
        _ holder: Holder
    ) -> UInt16 {
        session.life.expiryInterval =
            request.isNameless ? 0 : min(request.sessionExpiryInterval, sessionExpiryMaximum)
        session.life.expiresAt = .distantFuture
        session.life.will = request.will
        session.life.willDueAt = nil
        forgetEnd(of: session)
        session.client.receiveMaximum = min(Int(request.receiveMaximum), limits.inflightMessages)
        session.window.beginConnection()
        session.client.connection = connection
        switch connection.outlet {
        case .packets(let stream):
            session.client.stream = stream
            session.order.lost = 0
            session.client.inflightBytes = limits.queue.bytes
            stream.maximumPacketSize = request.maximumPacketSize
        case .messages(let sink):
            session.client.sink = sink
            if let inflight = sink.inflightMessages {
                session.client.receiveMaximum = min(Int(request.receiveMaximum), inflight)
            }
            // An adapter with a larger window bounds its bytes itself.
            session.client.inflightBytes = sink.inflightMessages == nil ? limits.queue.bytes : .max
        }
        connection.session = session
        connection.lastActivity = now
        recount(session, for: holder)
        accounts.connections.add(1, for: holder)
        begin(connection, for: holder)
        registry.noteConnected(session, on: connection)
        statistics.connections &+= 1
        statistics.maximumConnected = max(statistics.maximumConnected, registry.connected)
        if journal != nil { store(session) }
        return watchKeepAlive(connection, request)
    }
}
