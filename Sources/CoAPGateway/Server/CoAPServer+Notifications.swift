import BrokerCore
import DequeModule
import MQTTCodec
package import NIOCore

extension CoAPServer {
    /// How long notifications wait for the next block of the last one to be fetched.
    var fetchPause: TimeAmount { .milliseconds(Int64(configuration.fetchPause)) }

    /// Retained messages of a new subscription that are sent before one must be acknowledged: however many there are, they go
    /// out at the pace of a device that is there, and not at all to an address that is not the sender's (RFC 7641 §4.5.1).
    static var retainedAtATime: Int { 16 }

    /// A message for a client: one notification for each observation it matched.
    func deliver(_ delivery: Delivery, to client: CoAPClient, _ generation: UInt32) {
        var matching: [Observation] = []
        for identifier in delivery.subscriptionIdentifiers {
            guard let subscription = client.subscriptions[identifier] else { continue }
            matching += subscription.observations.lazy.filter {
                $0.generation == generation || client.session != nil
            }
        }
        let ticket = DeliveryTicket(delivery, client: client, generation: generation, observations: matching.count)
        if let session = client.session {
            if matching.isEmpty {
                // Subscribed under another identifier, before this gateway knew the client.
                let topic = delivery.message.topic
                matching = client.observations.filter { $0.filter.matches(topic) }
                ticket.remaining = matching.count
            }
            guard !matching.isEmpty, client.endpoint != nil else { return park(ticket, session) }
        }
        guard !matching.isEmpty else { return settle(ticket) }
        guard let endpoint = client.endpoint, !endpoint.isGone else { return }
        for observation in matching where observation.registration.operation.coalesces {
            dropOutdated(observation, ticket.message.topic, endpoint)
        }
        for observation in matching { endpoint.sending.outgoing.append(.notification(observation, ticket)) }
        markDirty(endpoint)
    }

    /// `obs=state`: a message of the same topic that has not been sent yet gives way.
    private func dropOutdated(_ observation: Observation, _ topic: TopicName, _ endpoint: Endpoint) {
        var outdated: [DeliveryTicket] = []
        endpoint.sending.outgoing.removeAll { item in
            guard case .notification(let other, let ticket) = item, other === observation,
                ticket.message.topic == topic
            else { return false }
            outdated.append(ticket)
            return true
        }
        for ticket in outdated { settle(ticket) }
    }

    func settle(_ ticket: DeliveryTicket) {
        ticket.remaining -= 1
        guard ticket.remaining <= 0 else { return }
        turn.coreRequests.append(
            .settle(
                ticket.client,
                generation: ticket.generation,
                packetID: ticket.packetID,
                isHeard: ticket.isHeard
            )
        )
    }

    /// Sends what can be sent now, in order: nothing overtakes a confirmable message that waits for its acknowledgement,
    /// unless the configuration allows several at a time.
    func sendOutgoing(_ endpoint: Endpoint, now: NIODeadline) {
        while endpoint.sending.outstanding.count < mostOutstanding(endpoint), endpoint.sending.restsUntil == nil,
            !endpoint.sending.outgoing.isEmpty, layer.hasRoom(for: endpoint.id)
        {
            guard endpoint.sending.pace.freeAt <= now else {
                return rest(endpoint, until: endpoint.sending.pace.freeAt)
            }
            if endpoint.sending.pausedUntil != nil,
                case .notification(let observation, _)? = endpoint.sending.outgoing.first,
                !observation.isEnded
            {
                return
            }
            let next = endpoint.sending.outgoing.removeFirst()
            switch next {
            case .notification(let observation, let ticket): notify(observation, ticket, next, endpoint, now)
            case .finalNotification(let token, let response):
                sendConfirmable(finalNotification(response, token, endpoint), token, next, endpoint, now)
            case .response(let token, let response): sendConfirmable(response, token, next, endpoint, now)
            case .abandoned: break
            }
        }
    }

    /// The endpoint takes what waits for it again.
    package func hasRoom(_ id: EndpointID) {
        if let endpoint = endpoints[id] { markDirty(endpoint) }
    }

    private func notify(
        _ observation: Observation,
        _ ticket: DeliveryTicket,
        _ item: Endpoint.Outgoing,
        _ endpoint: Endpoint,
        _ now: NIODeadline
    ) {
        guard ticket.message.expiresAt > now else { return settle(ticket) }
        guard !observation.isEnded else { return passOver(ticket) }
        let response: CoAPResponse
        do throws(CoAPFailure) {
            response = try observation.notification(
                of: ticket.message,
                room: room(for: observation.token, endpoint),
                now: now
            )
        } catch {
            guard error != .unproven else { return awaitSign(item, endpoint, now) }
            // A topic that leaves no room for a payload is no reason to end what the client wants to go on with: as with
            // MQTT's Maximum Packet Size, the message is dropped for it alone [MQTT-3.1.2-25].
            guard error != .noRoom else { return settle(ticket) }
            // Not what the registration accepts: said so, and over (RFC 7641 §4.2).
            remove(observation, from: endpoint)
            endpoint.sending.outgoing.prepend(.finalNotification(observation.token, error.response))
            return settle(ticket)
        }
        if response.block2?.more == true {
            keep(ticket.message, response, observation.resource, endpoint, now)
            endpoint.sending.pausedUntil = now + fetchPause
            markTimed(endpoint)
        }
        if ticket.isRetained { endpoint.sending.unconfirmedRetained += 1 }
        let isConfirmable =
            ticket.qos != .atMostOnce
            || (endpoint.sending.unconfirmedRetained >= Self.retainedAtATime && !layer.isReliable)
            || observation.confirmedAt + .seconds(Int64(configuration.confirmationInterval)) <= now
            || response.isTight
        if isConfirmable { return sendConfirmable(response, observation.token, item, endpoint, now) }
        if !layer.isReliable { endpoint.sending.pace.began(isConfirmable: false, now: now) }
        if let messageID = layer.sendNonConfirmable(response, token: observation.token, to: endpoint.id) {
            observation.remember(messageID)
        }
        settle(ticket)
    }

    private func sendConfirmable(
        _ response: CoAPResponse,
        _ token: Token,
        _ item: Endpoint.Outgoing,
        _ endpoint: Endpoint,
        _ now: NIODeadline
    ) {
        if !layer.isReliable { endpoint.sending.pace.began(isConfirmable: true, now: now) }
        do throws(SendFailure) {
            let id = try layer.sendConfirmable(response, token: token, to: endpoint.id)
            endpoint.sending.outstanding.append(Endpoint.Outstanding(id: id, item: item, sentAt: now))
            confirmables[id] = endpoint
        } catch {
            switch error {
            case .busy:
                endpoint.sending.outgoing.prepend(item)
                rest(endpoint, until: now + Self.networkPatience)
            case .unproven: awaitSign(item, endpoint, now)
            case .unreachable: unreachable(endpoint, item, at: endpoint.sending.outstanding.count)
            case .impossible: finish(item, of: endpoint)
            }
        }
    }

    /// Sends nothing to an endpoint before that time.
    func rest(_ endpoint: Endpoint, until end: NIODeadline) {
        endpoint.sending.restsUntil = end
        timers.resting.append(endpoint)
        timers.restsEndAt = min(timers.restsEndAt, end)
    }

    /// Goes on with those who have rested long enough.
    func endRests(_ now: NIODeadline) {
        guard timers.restsEndAt <= now else { return }
        timers.restsEndAt = .distantFuture
        let rested = timers.resting
        timers.resting = []
        for endpoint in rested where !endpoint.isGone {
            guard let end = endpoint.sending.restsUntil, end > now else {
                endpoint.sending.restsUntil = nil
                markDirty(endpoint)
                continue
            }
            timers.resting.append(endpoint)
            timers.restsEndAt = min(timers.restsEndAt, end)
        }
    }

    private func finish(_ item: Endpoint.Outgoing, of endpoint: Endpoint) {
        if case .notification(_, let ticket) = item { settle(ticket) }
    }

    /// A confirmable message was acknowledged, which for a notification is PUBACK.
    package func acknowledged(_ id: ConfirmableID, now: NIODeadline) {
        guard let (endpoint, _, message) = endOutstanding(id) else { return }
        endpoint.sending.unconfirmedRetained = 0
        endpoint.heardAt = now
        if case .notification(let observation, let ticket) = message.item {
            observation.confirmedAt = now
            ticket.isHeard = true
        }
        finish(message.item, of: endpoint)
    }

    /// A confirmable message came to nothing.
    package func failed(_ id: ConfirmableID, _ failure: DeliveryFailure) {
        guard let (endpoint, place, message) = endOutstanding(id) else { return }
        switch (failure, message.item) {
        case (.reset, .notification(let observation, let ticket)):
            remove(observation, from: endpoint)
            return passOver(ticket)
        case (.reset, _): break
        case (.unreachable, .notification(_, let ticket))
        where ticket.client.isPersistent && endpoint.heardAt > message.sentAt:
            // Its device is awake: only this message was lost again and again.
            return endpoint.sending.outgoing.prepend(message.item)
        case (.unreachable, _): return unreachable(endpoint, message.item, at: place)
        case (.forgotten, _): return endpoint.sending.outgoing.prepend(message.item)
        }
        finish(message.item, of: endpoint)
    }

    /// The observation a message was for is over; a persistent session keeps it for the next one.
    private func passOver(_ ticket: DeliveryTicket) {
        guard let session = ticket.client.session, ticket.remaining == 1 else { return settle(ticket) }
        park(ticket, session)
    }

    /// An endpoint does not answer: persistent sessions keep what is theirs, other observations are over.
    ///
    /// - Parameter place: of the one that has failed, among those that are outstanding.
    func unreachable(_ endpoint: Endpoint, _ failed: Endpoint.Outgoing, at place: Int) {
        var unheard: Deque<Endpoint.Outgoing> = []
        for place in endpoint.sending.outstanding.indices {
            guard case .notification = endpoint.sending.outstanding[place].item else { continue }
            unheard.append(endpoint.sending.outstanding[place].item)
            endpoint.sending.outstanding[place].item = .abandoned
        }
        if case .notification = failed { unheard.insert(failed, at: min(place, unheard.count)) }
        endpoint.sending.outgoing = unheard + endpoint.sending.outgoing
        for client in endpoint.sessions.values where client.isPersistent { sleep(client) }
        removeAll(of: endpoint)
        let left = endpoint.sending.outgoing
        endpoint.sending.outgoing = []
        for item in left {
            if case .notification = item { finish(item, of: endpoint) } else { endpoint.sending.outgoing.append(item) }
        }
        markDirty(endpoint)
    }

    /// Takes a confirmable message off its endpoint's list.
    ///
    /// - Returns: nil when nobody waits for it any more.
    private func endOutstanding(_ id: ConfirmableID) -> (Endpoint, place: Int, Endpoint.Outstanding)? {
        guard let endpoint = confirmables.removeValue(forKey: id),
            let place = endpoint.sending.outstanding.indices.first(where: { endpoint.sending.outstanding[$0].id == id })
        else { return nil }
        markDirty(endpoint)
        return (endpoint, place, endpoint.sending.outstanding.remove(at: place))
    }
}
