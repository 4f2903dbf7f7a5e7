import BrokerCore
import DequeModule
import MQTTCodec
import NIOCore

// Sessions of `/mqtt/connection`: a client is known by its Client Identifier and token, wherever it is.
extension CoAPServer {
    /// The client a request is for.
    func resolve(_ query: RequestQuery, at endpoint: Endpoint) throws(CoAPFailure) -> CoAPClient {
        let former = clients.sessions.isEmpty ? nil : clients.sessions[query.credentials.clientName]
        guard let token = query.token else {
            // Whoever has a session shows that it is his.
            guard former == nil else { throw CoAPFailure.badToken }
            return try client(query.credentials, at: endpoint)
        }
        guard let former, let session = former.session, session.proves(token),
            former.identity.isSame(as: endpoint.origin.identity)
        else { throw CoAPFailure.badToken }
        return former
    }

    /// POST: begins a session, once the core agrees.
    func beginSession(
        _ connection: ConnectionQuery,
        _ query: RequestQuery,
        _ exchange: Exchange
    ) throws(CoAPFailure) {
        if clients.sessions[query.credentials.clientName] == nil,
            let refusal = shares.sessions.refusal(for: exchange.endpoint.origin.holder)
        {
            throw shares.failure(refusal, exchange.endpoint, "sessions")
        }
        var request = ConnectRequest(query.credentials)
        request.cleanStart = connection.cleanStart
        request.sessionExpiryInterval = connection.sessionExpiryInterval
        request.keepAlive = connection.keepAlive
        request.will = try connection.will()
        let client = CoAPClient(
            credentials: query.credentials,
            endpoint: exchange.endpoint,
            session: CoAPSession(request: request)
        )
        // Nothing is delivered to it before it has its answer.
        client.endpoint = nil
        try submit(exchange, for: client)
        turn.coreRequests.append(.connect(exchange))
    }

    /// The core agrees: the answer is the token.
    func connected(_ exchange: Exchange, _ generation: UInt32, sessionPresent: Bool) -> CoAPResponse {
        guard let client = exchange.client, let session = client.session else { return CoAPResponse(.changed) }
        if let former = clients.sessions[client.credentials.clientName] { forget(former) }
        clients.sessions[client.credentials.clientName] = client
        shares.sessions.add(1, for: client.holder)
        client.generation = generation
        wake(client, at: exchange.endpoint)
        var response = CoAPResponse(sessionPresent ? .changed : .created)
        response.payload = .text(session.token)
        return response
    }

    /// DELETE: ends the connection as DISCONNECT does; what outlives it is the core's matter.
    func endSession(_ client: CoAPClient) {
        turn.coreRequests.append(.disconnect(client))
        unbind(client)
        forget(client)
    }

    /// The client of a session was heard of there: what waits for it can go.
    func wake(_ client: CoAPClient, at endpoint: Endpoint) {
        guard let session = client.session else { return }
        // What came to where it waited before would be lost.
        if let waiter = session.waiter, waiter.endpoint !== endpoint { endWaiting(client) }
        if client.endpoint !== endpoint {
            unbind(client)
            client.endpoint = endpoint
            endpoint.sessions[client.credentials.clientName] = client
            for observation in client.observations {
                if endpoint.observations[observation.token] == nil {
                    endpoint.observations[observation.token] = observation
                } else {
                    remove(observation, from: endpoint)
                }
            }
        }
        unpark(client)
        updateHold(endpoint)
    }

    /// A session that outlives silence keeps what it observes and what it was sent, for later.
    func sleep(_ client: CoAPClient) {
        unbind(client)
        guard let session = client.session else { return }
        for ticket in session.parked where ticket.qos == .atMostOnce { settle(ticket) }
        session.parked.removeAll { $0.qos == .atMostOnce }
    }

    /// Takes a client and all that is on its way to it away from its endpoint.
    func unbind(_ client: CoAPClient) {
        guard let session = client.session, let endpoint = client.endpoint else { return }
        client.endpoint = nil
        endpoint.sessions[client.credentials.clientName] = nil
        var tickets: [DeliveryTicket] = []
        func take(_ item: Endpoint.Outgoing) -> Bool {
            guard case .notification(_, let ticket) = item, ticket.client === client else { return false }
            if tickets.last !== ticket { tickets.append(ticket) }
            return true
        }
        for place in endpoint.sending.outstanding.indices where take(endpoint.sending.outstanding[place].item) {
            endpoint.sending.outstanding[place].item = .abandoned
        }
        endpoint.sending.outgoing.removeAll(where: take)
        for ticket in tickets { ticket.remaining = 1 }
        session.parked = Deque(tickets) + session.parked
        for observation in client.observations where endpoint.observations[observation.token] === observation {
            endpoint.observations[observation.token] = nil
        }
        markDirty(endpoint)
    }

    /// Keeps a message that can't go out now; answers a request that waits for one.
    func park(_ ticket: DeliveryTicket, _ session: CoAPSession) {
        ticket.remaining = 1
        if let waiter = session.waiter {
            session.waiter = nil
            return answer(waiter, with: ticket)
        }
        guard session.isPersistent, ticket.qos != .atMostOnce else { return settle(ticket) }
        session.parked.append(ticket)
    }

    /// Sends the messages that wait for observations that are there now.
    func unpark(_ client: CoAPClient) {
        guard let session = client.session, let endpoint = client.endpoint, !session.parked.isEmpty else { return }
        let observations = client.observations
        let parked = session.parked
        session.parked = []
        for ticket in parked {
            let topic = ticket.message.topic
            let matching = observations.filter { $0.filter.matches(topic) }
            guard !matching.isEmpty else {
                session.parked.append(ticket)
                continue
            }
            ticket.remaining = matching.count
            for observation in matching { endpoint.sending.outgoing.append(.notification(observation, ticket)) }
        }
        markDirty(endpoint)
    }

    /// The client may not have these messages any more: those that have not been sent are not sent.
    func withdraw(_ packetIDs: Set<PacketID>, from client: CoAPClient, _ generation: UInt32) {
        var withdrawn: [DeliveryTicket] = []
        func take(_ ticket: DeliveryTicket) -> Bool {
            guard ticket.client === client, ticket.generation == generation,
                ticket.packetID.map(packetIDs.contains) ?? false
            else { return false }
            if withdrawn.last !== ticket { withdrawn.append(ticket) }
            return true
        }
        client.session?.parked.removeAll(where: take)
        client.endpoint?.sending.outgoing.removeAll { item in
            guard case .notification(_, let ticket) = item else { return false }
            return take(ticket)
        }
        for ticket in withdrawn {
            ticket.remaining = 1
            settle(ticket)
        }
    }

    /// The core ended the virtual connection of a session.
    func sessionClosed(_ client: CoAPClient, _ session: CoAPSession, _ reason: ReasonCode, _ now: NIODeadline) {
        let endpoint = client.endpoint
        endWaiting(client)
        unbind(client)
        // The core sends again what was not acknowledged.
        session.parked = []
        if reason == .keepAliveTimeout, session.isPersistent, clients.sessions[client.credentials.clientName] === client
        {
            let left = session.request.sessionExpiryInterval
            session.expiresAt = left == .max ? .distantFuture : now + .seconds(Int64(left))
            return
        }
        let tokens = client.observations.map(\.token)
        forget(client)
        guard let endpoint, !endpoint.isGone else { return }
        let finalNotification = CoAPFailure(reason).response
        for token in tokens { endpoint.sending.outgoing.append(.finalNotification(token, finalNotification)) }
        markDirty(endpoint)
    }

    /// Nobody can use the session's token any more.
    func forget(_ client: CoAPClient) {
        endWaiting(client)
        unbind(client)
        if clients.sessions[client.credentials.clientName] === client {
            clients.sessions[client.credentials.clientName] = nil
            shares.sessions.giveBack(for: client.holder)
        }
        for observation in client.observations {
            observation.isEnded = true
            shares.observations.giveBack(for: client.holder)
        }
        client.subscriptions = [:]
        client.session?.parked = []
    }

    /// Forgets the sessions that the core has forgotten.
    func expireSessions(_ now: NIODeadline) {
        guard clients.sessionsDueAt <= now else { return }
        clients.sessionsDueAt = now + .seconds(10)
        for client in clients.sessions.values {
            if let session = client.session, session.expiresAt <= now { forget(client) }
        }
    }

    // MARK: Downlink with the uplink

    /// The answer to a publish that wants a message with it.
    ///
    /// - Returns: whether it was given, or will be.
    func answerWithDownlink(_ exchange: Exchange, wait: TimeAmount, _ now: NIODeadline) -> Bool {
        guard exchange.downlink.isWanted, let session = exchange.client?.session else { return false }
        if let ticket = session.parked.popFirst() {
            answer(exchange, with: ticket)
            return true
        }
        guard wait > .zero else { return false }
        let refusal = shares.waiters.refusal(for: exchange.endpoint.origin.holder)
        guard !shares.isRefused(refusal, exchange.endpoint) else { return false }
        if let former = session.waiter { answer(former, with: nil) }
        session.waiter = exchange
        shares.waiters.add(1, for: exchange.endpoint.origin.holder)
        exchange.endpoint.requests.waiting += 1
        exchange.downlink.isWaiting = true
        pending.waiters.insert(exchange, until: now + wait, live: shares.waiters.used)
        return true
    }

    /// It has waited long enough for a message.
    func endWaiting(_ waiter: Exchange) {
        waiter.client?.session?.waiter = nil
        answer(waiter, with: nil)
    }

    /// Answers a request that waits for a message without one.
    private func endWaiting(_ client: CoAPClient) {
        guard let session = client.session, let waiter = session.waiter else { return }
        session.waiter = nil
        answer(waiter, with: nil)
    }

    private func answer(_ exchange: Exchange, with ticket: DeliveryTicket?) {
        if exchange.downlink.isWaiting {
            exchange.endpoint.requests.waiting -= 1
            shares.waiters.giveBack(for: exchange.endpoint.origin.holder)
            exchange.downlink.isWaiting = false
        }
        guard !exchange.endpoint.isGone else {
            exchange.state = .answered
            if let ticket, let session = ticket.client.session { park(ticket, session) }
            return
        }
        defer { updateHold(exchange.endpoint) }
        var response = CoAPResponse(.changed)
        guard let ticket else { return respond(to: exchange, with: response) }
        let message = ticket.message
        response.room = room(for: exchange.request, exchange.endpoint)
        response.contentFormat = Representation(message).contentFormat
        response.locationPath = message.topic.locationPath(under: "ps")
        do throws(CoAPFailure) {
            try response.cut(message, wanted: exchange.request.block2)
        } catch {
            // It can't be told: the device gets the plain answer.
            response = CoAPResponse(.changed)
            if error == .unproven, let session = ticket.client.session {
                // Its next request may leave more room, or prove the address.
                session.parked.prepend(ticket)
                response.echo = layer.echo(for: exchange.endpoint.id)
                return respond(to: exchange, with: response)
            }
        }
        if response.block2?.more == true {
            if !response.isTight { response.eTag = Representation(message).eTag }
            keep(message, response, ResourceKey(exchange.request), exchange.endpoint, .now())
        }
        respond(to: exchange, with: response)
        ticket.isHeard = true
        settle(ticket)
    }
}
