import BrokerCore
import MQTTCodec
import NIOCore

extension CoAPServer {
    // MARK: Registering

    /// Puts an observation in place; one with the same token gives way, and its numbers go on (RFC 7641 §4.1).
    ///
    /// - Returns: the number of the response, which is its first notification.
    func observe(
        _ exchange: Exchange,
        _ registration: Exchange.Registration,
        _ client: CoAPClient,
        _ generation: UInt32,
        _ now: NIODeadline
    ) -> UInt32 {
        let endpoint = exchange.endpoint
        let former = endpoint.observations[exchange.request.token]
        var sequence = former?.sequence ?? ObserveSequence(now: now)
        let firstNumber = sequence.next()
        let observation = Observation(
            exchange,
            registration,
            client: client,
            generation: generation,
            sequence: sequence,
            now: now
        )
        if let former { remove(former, from: endpoint) }
        endpoint.observations[observation.token] = observation
        shares.observations.add(1, for: client.holder)
        client.subscriptions[observation.identifier]?.observations.append(observation)
        return firstNumber
    }

    // MARK: Ending

    /// GET with Observe 1 (RFC 7641 §3.6).
    func deregister(_ token: Token, at endpoint: Endpoint) {
        endpoint.requests.registrations[token]?.isDeregistered = true
        if let observation = endpoint.observations[token] { remove(observation, from: endpoint) }
    }

    /// Ends an observation: UNSUBSCRIBE, unless others share its subscription.
    func remove(_ observation: Observation, from endpoint: Endpoint) {
        guard !observation.isEnded else { return }
        observation.isEnded = true
        // One that has moved here may have found its token taken.
        if endpoint.observations[observation.token] === observation { endpoint.observations[observation.token] = nil }
        let client = observation.client
        shares.observations.giveBack(for: client.holder)
        client.subscriptions[observation.identifier]?.observations.removeAll { $0 === observation }
        endUse(observation.identifier, of: client, observation.generation)
        // What is queued for it is skipped later.
        markDirty(endpoint)
    }

    func endUse(_ identifier: UInt32, of client: CoAPClient, _ generation: UInt32) {
        guard let filter = client.endUse(of: identifier) else { return }
        noteIdle(client)
        // A persistent session goes on to queue what matches.
        guard !client.isPersistent else { return }
        turn.coreRequests.append(.unsubscribe(client, generation: generation, filter: filter))
    }

    /// An endpoint answers no more: nothing it observes is of use to it.
    func removeAll(of endpoint: Endpoint) {
        for observation in endpoint.observations.values { remove(observation, from: endpoint) }
    }

    /// The core ended a virtual connection: its observers are told why, as their last notification (RFC 7641 §4.2).
    func closed(_ client: CoAPClient, _ generation: UInt32, _ reason: ReasonCode, _ now: NIODeadline) {
        if let session = client.session { return sessionClosed(client, session, reason, now) }
        guard let endpoint = client.endpoint, !endpoint.isGone else { return }
        let finalNotification = CoAPFailure(reason).response
        for observation in endpoint.observations.values
        where observation.client === client && observation.generation == generation {
            remove(observation, from: endpoint)
            endpoint.sending.outgoing.append(.finalNotification(observation.token, finalNotification))
        }
        updateHold(endpoint)
    }

    /// A Reset has come: if it is for a notification, its observation ends (RFC 7641 §3.6).
    package func reset(_ messageID: UInt16, from id: EndpointID) {
        guard let endpoint = endpoints[id],
            let observation = endpoint.observations.values.first(where: { $0.sent(messageID) })
        else { return }
        remove(observation, from: endpoint)
    }
}
