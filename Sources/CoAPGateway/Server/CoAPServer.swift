package import BrokerCore
package import CoreRuntime
import DequeModule
import MQTTCodec
package import NIOCore

/// CoAP's server side for all endpoints: requests in, calls on the core out, responses and notifications back.
///
/// Sans I/O and confined to one thread; time is a parameter. What happens in one turn gathers: requests for the core in
/// `coreRequests`, which the owner hands over as one batch, notifications until `endTurn`.
///
/// What a peer can do wrong is answered with 4.xx and a diagnostic payload. What belongs to nothing (an answer for an
/// endpoint that is gone, a Reset of a message nobody remembers) is dropped without a word.
package final class CoAPServer<Layer: MessageLayer> {
    let layer: Layer
    let configuration: CoAPListener.Configuration
    let settings: Settings
    let events: EventLog

    @exclusivity(unchecked) var endpoints: [EndpointID: Endpoint] = [:]
    /// Endpoints that wait to hear what becomes of a confirmable message.
    var confirmables: [ConfirmableID: Endpoint] = [:]
    @exclusivity(unchecked) var turn = Turn()
    @exclusivity(unchecked) var pending = PendingExchanges()
    /// What all endpoints share, and each address and user has a part of.
    @exclusivity(unchecked) var shares: CoAPShares
    @exclusivity(unchecked) var clients = Clients()
    var publishKeys: PublishKeys
    var timers = Timers()

    /// - Parameter refusals: told of what is refused because a limit is reached.
    package init(
        layer: Layer,
        configuration: CoAPListener.Configuration,
        limits: Limits,
        refusals: Refusals = Refusals(),
        events: EventLog = .silent
    ) {
        self.events = events
        shares = CoAPShares(configuration, refusals)
        self.layer = layer
        self.configuration = configuration
        settings = Settings(configuration, limits)
        publishKeys = PublishKeys(
            Quota.Limit(total: configuration.rememberedPublishes),
            bytes: Quota.Limit(total: configuration.rememberedPublishBytes)
        )
    }

    /// Endpoints known.
    package var endpointCount: Int { endpoints.count }
    /// Bytes of bodies that are kept while they are fetched in blocks.
    package var keptBytes: Int { shares.snapshots.used }
    /// Whether confirmable messages wait for their acknowledgement.
    package var hasOutstanding: Bool { !confirmables.isEmpty }

    /// What the core is to do, as one batch.
    ///
    /// - Returns: nil when there is nothing.
    package func takeBatch() -> CoreBatch? {
        guard !turn.coreRequests.isEmpty else { return nil }
        let batch = CoreBatch(requests: turn.coreRequests)
        turn.coreRequests = []
        turn.coreRequests.reserveCapacity(min(batch.requests.count, 256))
        return batch
    }

    // MARK: Endpoints

    func endpoint(_ id: EndpointID) -> Endpoint {
        if let endpoint = endpoints[id] { return endpoint }
        let endpoint = Endpoint(
            id: id,
            origin: Endpoint.Origin(remoteAddress: layer.remoteAddress(of: id), identity: layer.identity(of: id)),
            rememberedMessages: configuration.rememberedMessages
        )
        endpoints[id] = endpoint
        return endpoint
    }

    /// The secure session or connection of an endpoint is over.
    package func endpointLost(_ id: EndpointID) {
        guard let endpoint = endpoints[id] else { return }
        if endpoint.isHeld { layer.release(id) }
        endpoint.isHeld = false
        endpointGone(id)
    }

    /// The message layer has forgotten an endpoint; its name may be used again at once.
    package func endpointGone(_ id: EndpointID) {
        guard let endpoint = endpoints.removeValue(forKey: id) else { return }
        endpoint.isGone = true
        endpoint.isHeld = false
        for client in endpoint.sessions.values { left(client, endpoint) }
        timers.timed[id] = nil
        shares.uploads.giveBack(endpoint.transfers.uploads.bytes, for: endpoint.origin.holder)
        shares.snapshots.giveBack(endpoint.transfers.snapshots.bytes, for: endpoint.origin.holder)
        shares.messages.giveBack(endpoint.duplicates.extra, for: endpoint.origin.holder)
        for observation in endpoint.observations.values where !observation.isEnded {
            shares.observations.giveBack(for: observation.client.holder)
        }
        for outstanding in endpoint.sending.outstanding { confirmables[outstanding.id] = nil }
        endpoint.sending.outstanding = []
        endpoint.sending.outgoing = []
        endpoint.observations = [:]
        for client in endpoint.clients {
            turn.coreRequests.append(.disconnect(client))
            client.isForgotten = true
            // They and the client hold each other.
            client.subscriptions = [:]
        }
        endpoint.clients = []
    }

    /// The client of a session is not where it was: one that is persistent sleeps, another one has lost its observations.
    private func left(_ client: CoAPClient, _ endpoint: Endpoint) {
        if !client.isPersistent {
            for observation in client.observations { remove(observation, from: endpoint) }
        }
        sleep(client)
        guard let session = client.session, !client.isPersistent else { return }
        for ticket in session.parked { settle(ticket) }
        session.parked = []
    }

    /// The client of those credentials at that endpoint; makes room for it when there are many.
    func client(_ credentials: ClientCredentials, at endpoint: Endpoint) throws(CoAPFailure) -> CoAPClient {
        if let client = endpoint.clients.first(where: { $0.credentials == credentials }) {
            client.lastUse = turn.number
            return client
        }
        if endpoint.clients.count >= configuration.clientsPerEndpoint {
            let idle = endpoint.clients.indices.lazy.filter { endpoint.clients[$0].isIdle }
                .min { endpoint.clients[$0].lastUse < endpoint.clients[$1].lastUse }
            guard let idle else { throw CoAPFailure(.quotaExceeded, "too many clients at one endpoint") }
            let former = endpoint.clients.remove(at: idle)
            former.isForgotten = true
            turn.coreRequests.append(.disconnect(former))
        }
        let client = CoAPClient(
            credentials: credentials,
            endpoint: endpoint
        )
        client.lastUse = turn.number
        endpoint.clients.append(client)
        return client
    }

    /// A client may have nothing to do any more: of many such ones, the one that did something longest ago is
    /// disconnected, and connects again when it asks for something.
    func noteIdle(_ client: CoAPClient) {
        guard client.isIdle, client.session == nil, !client.isForgotten else { return }
        clients.idle.append(client)
        while let oldest = clients.idle.popOldest(beyond: configuration.idleClients) {
            oldest.isForgotten = true
            oldest.endpoint?.clients.removeAll { $0 === oldest }
            turn.coreRequests.append(.disconnect(oldest))
        }
    }

    /// Asks the message layer to keep an endpoint, or lets it go, as it is busy or not.
    func updateHold(_ endpoint: Endpoint) {
        guard endpoint.isBusy != endpoint.isHeld, !endpoint.isGone else { return }
        endpoint.isHeld = endpoint.isBusy
        if endpoint.isHeld { layer.hold(endpoint.id) } else { layer.release(endpoint.id) }
    }

    // MARK: Time

    /// Ends a turn: sends what can be sent, and does what has become due.
    package func endTurn(now: NIODeadline) {
        turn.number &+= 1
        acknowledgeOverdue(now)
        endRests(now)
        if timers.dueAt <= now { expireTimers(now) }
        if !clients.sessions.isEmpty { expireSessions(now) }
        while let waiter = pending.waiters.popDue(at: now) { endWaiting(waiter) }
        while !turn.dirty.isEmpty {
            let leaving = turn.dirty
            turn.dirty.removeAll(keepingCapacity: true)
            for endpoint in leaving {
                endpoint.sending.isListed = false
                guard !endpoint.isGone else { continue }
                sendOutgoing(endpoint, now: now)
                updateHold(endpoint)
            }
        }
        if !timers.timed.isEmpty, timers.dueAt == .distantFuture { timers.dueAt = now + Self.timerInterval }
    }

    /// When `endTurn` has something to do by itself; nil when nothing is waited for.
    package var nextDeadline: NIODeadline? {
        let overdue = pending.unacknowledged.first?.acknowledgeAt
        let transfers = timers.dueAt == .distantFuture ? nil : timers.dueAt
        let rests = timers.resting.isEmpty ? nil : timers.restsEndAt
        return [overdue, transfers, pending.waiters.nextDeadline, rests].compactMap { $0 }.min()
    }

    /// How soon what the network did not take is tried again.
    static var networkPatience: TimeAmount { .milliseconds(10) }
    /// How often endpoints with unfinished transfers are looked at.
    private static var timerInterval: TimeAmount { .milliseconds(500) }

    private func expireTimers(_ now: NIODeadline) {
        timers.dueAt = .distantFuture
        for (id, endpoint) in timers.timed {
            let (uploaded, kept) = (endpoint.transfers.uploads.bytes, endpoint.transfers.snapshots.bytes)
            endpoint.transfers.uploads.expire(now: now)
            endpoint.transfers.snapshots.expire(now: now)
            shares.uploads.giveBack(uploaded - endpoint.transfers.uploads.bytes, for: endpoint.origin.holder)
            shares.snapshots.giveBack(kept - endpoint.transfers.snapshots.bytes, for: endpoint.origin.holder)
            if let pausedUntil = endpoint.sending.pausedUntil, pausedUntil <= now {
                endpoint.sending.pausedUntil = nil
                markDirty(endpoint)
            }
            if !endpoint.hasTimers { timers.timed[id] = nil }
        }
    }

    func markTimed(_ endpoint: Endpoint) {
        if endpoint.hasTimers { timers.timed[endpoint.id] = endpoint }
    }

    func markDirty(_ endpoint: Endpoint) {
        guard !endpoint.sending.isListed else { return }
        endpoint.sending.isListed = true
        turn.dirty.append(endpoint)
    }

    // MARK: The end

    /// Whether every request has its answer.
    package var isSettled: Bool { shares.requests.used == 0 }

    /// Takes leave of every observer and disconnects every client; nothing is received after it.
    package func shutDown() {
        turn.isShuttingDown = true
        let words = CoAPFailure(.serverShuttingDown).response
        for endpoint in endpoints.values {
            for observation in endpoint.observations.values {
                let token = observation.token
                _ = layer.sendNonConfirmable(finalNotification(words, token, endpoint), token: token, to: endpoint.id)
            }
            // Those that the core has ended already, and whose turn has not come.
            for case .finalNotification(let token, let response) in endpoint.sending.outgoing {
                _ = layer.sendNonConfirmable(
                    finalNotification(response, token, endpoint),
                    token: token,
                    to: endpoint.id
                )
            }
            if endpoint.isHeld { layer.release(endpoint.id) }
            endpointGone(endpoint.id)
        }
        for client in clients.sessions.values {
            turn.coreRequests.append(.disconnect(client))
            forget(client)
        }
    }
}
