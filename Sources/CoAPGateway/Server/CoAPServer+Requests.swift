import BrokerCore
import MQTTCodec
package import NIOCore

extension CoAPServer {
    /// A request has come, duplicates included.
    package func received(_ request: CoAPRequest, from id: EndpointID, now: NIODeadline) {
        let endpoint = endpoint(id)
        endpoint.heardAt = now
        if !layer.isReliable, let answer = duplicate(of: request, endpoint, now) {
            return answerDuplicate(request, answer, endpoint)
        }
        let exchange = Exchange(
            endpoint: endpoint,
            request: request.head,
            acknowledgeAt: now + .milliseconds(Int64(configuration.separateResponseAfter))
        )
        do throws(CoAPFailure) {
            try handle(request, exchange, now)
        } catch {
            noteRefused(error, request, endpoint)
            respond(to: exchange, with: error.response)
        }
    }

    /// What became of the same request before; nil when it is new.
    ///
    /// Each endpoint has room for some, and more out of what is there for all: half of that is kept for those whose addresses
    /// are proven.
    private func duplicate(
        of request: CoAPRequest,
        _ endpoint: Endpoint,
        _ now: NIODeadline
    ) -> DuplicateFilter.Answer? {
        let before = endpoint.duplicates.extra
        if endpoint.duplicates.isFull(now: now) {
            let growth = endpoint.duplicates.growth
            let most = isProven(endpoint) ? configuration.furtherMessages : configuration.furtherMessages / 2
            if growth > 0, shares.messages.used + growth <= most,
                shares.messages.refusal(of: growth, for: endpoint.origin.holder) == nil
            {
                endpoint.duplicates.grow()
            }
        }
        let answer = endpoint.duplicates.receive(request, now: now)
        shares.messages.add(endpoint.duplicates.extra - before, for: endpoint.origin.holder)
        return answer
    }

    /// RFC 7252 §4.2, §4.3: a confirmable duplicate gets the same answer again, a non-confirmable one none.
    private func answerDuplicate(_ request: CoAPRequest, _ answer: DuplicateFilter.Answer, _ endpoint: Endpoint) {
        guard request.isConfirmable else { return }
        switch answer {
        case .pending: break
        case .acknowledged:
            layer.acknowledge(request.messageID, token: request.token, response: nil, to: endpoint.id)
        case .code(let code):
            layer.acknowledge(request.messageID, token: request.token, response: CoAPResponse(code), to: endpoint.id)
        case .response(let response):
            layer.acknowledge(request.messageID, token: request.token, response: response, to: endpoint.id)
        }
    }

    private func handle(_ request: CoAPRequest, _ exchange: Exchange, _ now: NIODeadline) throws(CoAPFailure) {
        if let malformed = request.malformed { throw malformed }
        guard layer.isReliable || !request.hasBERT else {
            throw CoAPFailure(.malformedPacket, "a Block option with the reserved size")
        }
        guard !turn.isShuttingDown else { throw CoAPFailure(.serverShuttingDown) }
        let query =
            request.path == ResourcePath.wellKnownCorePath
            ? try RequestQuery(credentialsOf: request.query) : try RequestQuery(request.query)
        if let response = try laterBlock(of: request, exchange.endpoint, now) {
            hear(query, at: exchange.endpoint)
            return respond(to: exchange, with: response)
        }
        guard let request = try assembled(request, query, exchange, now) else {
            return hear(query, at: exchange.endpoint)
        }
        let operation = try RequestOperation(
            request,
            query: query,
            bareTopics: configuration.bareTopics,
            limits: settings.limits
        )
        try start(operation, query, exchange, now)
    }

    /// What the core need not know of is a heartbeat all the same.
    private func hear(_ query: RequestQuery, at endpoint: Endpoint) {
        guard query.token != nil, let client = try? resolve(query, at: endpoint) else { return }
        turn.coreRequests.append(.hear(client))
    }

    // MARK: Blocks

    /// The response to a GET for a later block of a body whose first one was sent (RFC 7959 §2.4).
    private func laterBlock(
        of request: CoAPRequest,
        _ endpoint: Endpoint,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse? {
        guard let block = request.block2, block.number > 0, request.code == .get || request.code == .post else {
            return nil
        }
        let response = try endpoint.transfers.snapshots.response(
            to: request,
            block: block,
            room: room(for: request, endpoint),
            now: now,
            until: now + settings.blockwiseTimeout
        )
        guard let response else {
            guard request.code == .get else {
                throw CoAPFailure(.requestEntityIncomplete, "the response this block is of is no longer there")
            }
            return nil
        }
        if endpoint.sending.pausedUntil != nil {
            let isLast = response.block2?.more == false
            endpoint.sending.pausedUntil = isLast ? nil : now + fetchPause
            if isLast { markDirty(endpoint) }
        }
        return response
    }

    /// The request with its whole body (RFC 7959 §2.5); nil while blocks are missing.
    private func assembled(
        _ request: CoAPRequest,
        _ query: RequestQuery,
        _ exchange: Exchange,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> CoAPRequest? {
        guard let block = request.block1 else { return request }
        if block.offset == 0 {
            // Refused now rather than after the last block.
            _ = try RequestOperation(
                request,
                query: query,
                bareTopics: configuration.bareTopics,
                limits: settings.limits
            )
        }
        let endpoint = exchange.endpoint
        let before = endpoint.transfers.uploads.bytes
        defer {
            shares.uploads.add(endpoint.transfers.uploads.bytes - before, for: endpoint.origin.holder)
            markTimed(endpoint)
        }
        let size = request.payload.count
        let refusal = shares.uploads.refusal(of: size, for: endpoint.origin.holder)
        let progress = try endpoint.transfers.uploads.receive(
            block,
            of: request,
            bounds: settings.uploadBounds,
            budget: shares.isRefused(refusal, endpoint) ? 0 : size,
            now: now
        )
        switch progress {
        case .continue:
            respond(to: exchange, with: CoAPResponse(.continue))
            return nil
        case .complete(let body):
            var whole = request
            whole.payload = body
            return whole
        }
    }

    // MARK: To the core

    private func start(
        _ operation: RequestOperation,
        _ query: RequestQuery,
        _ exchange: Exchange,
        _ now: NIODeadline
    ) throws(CoAPFailure) {
        switch operation {
        case .wellKnownCore:
            try WellKnownCore.check(exchange.request)
            try submit(exchange, query)
            exchange.isLook = true
            turn.coreRequests.append(.look(exchange))
        case .connect(let connection): try beginSession(connection, query, exchange)
        case .heartbeat:
            try submit(exchange, query)
            turn.coreRequests.append(.heartbeat(exchange))
        case .disconnect:
            endSession(try resolve(query, at: exchange.endpoint))
            respond(to: exchange, with: CoAPResponse(.deleted))
        case .publish(let publish): try start(publish, query, exchange, now)
        case .read(let topic):
            try submit(exchange, query)
            turn.coreRequests.append(.read(exchange, topic))
        case .observe(let observe):
            try register(observe, query, exchange)
        case .endObservation(let topic, let filter):
            // A session's observations are where its client was heard of last: that is here.
            if query.token != nil { wake(try resolve(query, at: exchange.endpoint), at: exchange.endpoint) }
            deregister(exchange.request.token, at: exchange.endpoint)
            guard topic != nil || filter != nil else { return respond(to: exchange, with: CoAPResponse(.content)) }
            try submit(exchange, query)
            turn.coreRequests.append(.endObservation(exchange, topic, unsubscribing: filter))
        }
    }

    private func start(
        _ publish: PublishOperation,
        _ query: RequestQuery,
        _ exchange: Exchange,
        _ now: NIODeadline
    ) throws(CoAPFailure) {
        guard query.publishID == nil || !query.credentials.clientID.isEmpty || exchange.endpoint.origin.identity != nil
        else {
            throw CoAPFailure.clientIDMissing("a publish with id= needs a clientid")
        }
        let client = try submit(exchange, query)
        exchange.publish.done = publish.done
        exchange.publish.tellsCreated = publish.tellsCreated
        exchange.downlink.isWanted = query.wantsDownlink
        exchange.downlink.patience = .seconds(Int64(query.wait))
        guard let id = query.publishID else { return turn.coreRequests.append(.publish(exchange, publish)) }
        let key = PublishKey(client.credentials, identity: client.identity, id: id)
        start(publish, key, exchange, now)
    }

    /// The first of those with a key goes to the core; the others wait for its answer, which is theirs once the core has
    /// let them in, too: a key is made of names that anybody may give.
    func start(_ publish: PublishOperation, _ key: PublishKey, _ exchange: Exchange, _ now: NIODeadline) {
        switch publishKeys.begin(key, fingerprint: publish.fingerprint, exchange, now: now) {
        case .new:
            exchange.publish.key = key
            turn.coreRequests.append(.publish(exchange, publish))
        case .pending: exchange.waitingPublish = publish
        case .done(let code): turn.coreRequests.append(.repeat(exchange, code))
        case .reused: turn.coreRequests.append(.repeat(exchange, .unprocessableEntity))
        }
    }

    private func register(
        _ observe: ObserveOperation,
        _ query: RequestQuery,
        _ exchange: Exchange
    ) throws(CoAPFailure) {
        let endpoint = exchange.endpoint
        let token = exchange.request.token
        if endpoint.observations[token] == nil {
            guard
                endpoint.observations.count + endpoint.requests.registrations.count
                    < configuration.observationsPerEndpoint
            else { throw CoAPFailure(.quotaExceeded, "too many observations at one endpoint") }
            if let refusal = shares.observations.refusal(for: endpoint.origin.holder) {
                throw shares.failure(refusal, endpoint, "observations")
            }
        }
        let client = try submit(exchange, query)
        let (identifier, isRefresh) = client.use(observe.filter.string)
        exchange.registration = Exchange.Registration(operation: observe, identifier: identifier)
        endpoint.requests.registrations[token] = exchange
        turn.coreRequests.append(.observe(exchange, observe, identifier: identifier, isRefresh: isRefresh))
    }

    /// Counts a request as pending and finds whom it is for.
    @discardableResult
    private func submit(_ exchange: Exchange, _ query: RequestQuery) throws(CoAPFailure) -> CoAPClient {
        let client = try resolve(query, at: exchange.endpoint)
        try submit(exchange, for: client)
        if !query.wantsDownlink || !client.isPersistent {
            wake(client, at: exchange.endpoint)
        } else if let former = client.endpoint, former !== exchange.endpoint {
            // It is not where it was, and who asks for messages one by one does not want them all at once.
            sleep(client)
        }
        return client
    }

    func submit(_ exchange: Exchange, for client: CoAPClient) throws(CoAPFailure) {
        if let refusal = shares.requests.take(for: exchange.endpoint.origin.holder) {
            throw shares.failure(refusal, exchange.endpoint, "requests under way")
        }
        exchange.client = client
        client.pendingRequests += 1
        exchange.endpoint.requests.pending += 1
        if exchange.request.isConfirmable, !layer.isReliable { pending.unacknowledged.append(exchange) }
        updateHold(exchange.endpoint)
    }
}
