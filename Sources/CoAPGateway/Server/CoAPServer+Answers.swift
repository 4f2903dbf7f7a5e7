import BrokerCore
import MQTTCodec
package import NIOCore

extension CoAPServer {
    /// The core has something for us.
    package func take(_ events: CoreEvents, now: NIODeadline) {
        for event in events.events { take(event, now) }
    }

    private func take(_ event: CoreEvent, _ now: NIODeadline) {
        switch event {
        case .answer(let exchange, let answer): take(answer, of: exchange, now)
        case .deliveries(let client, let generation, let deliveries):
            for delivery in deliveries { deliver(delivery, to: client, generation) }
        case .withdrawn(let client, let generation, let packetIDs): withdraw(packetIDs, from: client, generation)
        case .closed(let client, let generation, let reason): closed(client, generation, reason, now)
        case .stopAccepting, .shutdown: turn.isShuttingDown = true
        case .keysReplaced: break
        }
    }

    func take(_ answer: CoreAnswer, of exchange: Exchange, _ now: NIODeadline) {
        let endpoint = exchange.endpoint
        shares.requests.giveBack(for: endpoint.origin.holder)
        endpoint.requests.pending -= 1
        if let client = exchange.client {
            client.pendingRequests -= 1
            noteIdle(client)
        }
        if exchange.registration != nil, endpoint.requests.registrations[exchange.request.token] === exchange {
            endpoint.requests.registrations[exchange.request.token] = nil
        }
        guard !endpoint.isGone else { return takeUnheard(answer, of: exchange, now) }
        do throws(CoAPFailure) {
            let response = try response(to: exchange, answer, now)
            finishKey(of: exchange, response.code, now)
            if !answerWithDownlink(exchange, wait: exchange.downlink.patience, now) {
                respond(to: exchange, with: response)
            }
            if exchange.registration != nil, let client = exchange.client { unpark(client) }
        } catch {
            finishKey(of: exchange, error.code, now)
            respond(to: exchange, with: error.response)
        }
        updateHold(endpoint)
    }

    /// Takes in an answer that nobody is there to be told.
    private func takeUnheard(_ answer: CoreAnswer, of exchange: Exchange, _ now: NIODeadline) {
        switch answer {
        case .connected:
            // Its token was never told to anybody.
            if let client = exchange.client { turn.coreRequests.append(.disconnect(client)) }
        case .published(let stoodBefore):
            // Its client asks again from elsewhere.
            return finishKey(of: exchange, exchange.published(stoodBefore: stoodBefore), now)
        case .subscribed(let generation, _):
            if let registration = exchange.registration, let client = exchange.client {
                endUse(registration.identifier, of: client, generation)
            }
        case .refused:
            if let registration = exchange.registration { _ = exchange.client?.endUse(of: registration.identifier) }
        default: break
        }
        finishKey(of: exchange, .serviceUnavailable, now)
    }

    /// Goes on with those who have sent the same publish meanwhile: when it was refused, the next one is carried out.
    private func finishKey(of exchange: Exchange, _ code: CoAPCode, _ now: NIODeadline) {
        guard let key = exchange.publish.key.take() else { return }
        for waiting in publishKeys.finish(key, code, now: now) {
            guard let publish = waiting.waitingPublish else { continue }
            waiting.waitingPublish = nil
            start(publish, key, waiting, now)
        }
    }

    private func response(
        to exchange: Exchange,
        _ answer: CoreAnswer,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse {
        let request = exchange.request
        switch answer {
        case .connected(let generation, let sessionPresent):
            return connected(exchange, generation, sessionPresent: sessionPresent)
        case .alive(let generation):
            exchange.client?.generation = generation
            return CoAPResponse(.changed)
        case .repeated(.unprocessableEntity):
            throw CoAPFailure(.unprocessableEntity, "the id was used for another publish")
        case .repeated(let code): return CoAPResponse(code)
        case .found(let messages): return try links(messages, exchange, now)
        // A client without permissions still gets the entry link.
        case .refused(let reason) where exchange.isLook && reason != .serverBusy: return try links([], exchange, now)
        case .refused(let reason):
            if let registration = exchange.registration, let client = exchange.client {
                // Nothing was subscribed, so there is nothing to unsubscribe.
                _ = client.endUse(of: registration.identifier)
            }
            if reason == .badUserNameOrPassword, exchange.client?.credentials.isAnonymous == true {
                // Short, so that the answer to a short request has room for it (RFC 9175 §2.4).
                throw CoAPFailure(.unauthorized, "?u=USER&p=PASSWORD")
            }
            throw CoAPFailure(reason)
        case .preconditionFailed:
            throw CoAPFailure(.preconditionFailed, "the retained message is not as If-Match or If-None-Match asks")
        case .published(let stoodBefore): return CoAPResponse(exchange.published(stoodBefore: stoodBefore))
        case .retained(let message?):
            return try represent(message, exchange, now)
        case .retained(nil):
            guard request.observe != 1 else { return CoAPResponse(.content) }
            throw CoAPFailure(.notFound, "the topic has no retained message")
        case .subscribed(let generation, let retained):
            return try subscribed(exchange, generation, retained, now)
        }
    }

    /// The response with a retained message; what remains of a large one is kept for the requests to come.
    private func represent(
        _ message: Message,
        _ exchange: Exchange,
        in room: MessageRoom? = nil,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse {
        let response = try Representation(message).response(
            to: exchange.request,
            room: room ?? self.room(for: exchange.request, exchange.endpoint),
            maxAge: exchange.registration == nil
                ? Representation.defaultMaxAge : Observation.maxAge(isProven: isProven(exchange.endpoint)),
            now: now
        )
        if response.block2?.more == true {
            keep(message, response, ResourceKey(exchange.request), exchange.endpoint, now)
        }
        return response
    }

    /// The response with links; a long list goes in blocks.
    private func links(
        _ messages: [Message],
        _ exchange: Exchange,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse {
        let text = WellKnownCore.links(exchange.request.query, messages)
        let noTopic: [UInt8] = []
        let body = Message(
            topic: noTopic.span.bytes,
            payload: text.utf8Span.span.bytes,
            qos: .atMostOnce,
            retain: false,
            properties: nil,
            expiresAt: .distantFuture,
            publisher: .none
        )
        var response = CoAPResponse(.content)
        response.room = room(for: exchange.request, exchange.endpoint)
        response.contentFormat = 40
        try response.cut(body, wanted: exchange.request.block2)
        if response.block2?.more == true {
            if !response.isTight { response.eTag = Representation(body).eTag }
            keep(body, response, ResourceKey(exchange.request), exchange.endpoint, now)
        }
        return response
    }

    func keep(
        _ message: Message,
        _ response: CoAPResponse,
        _ resource: ResourceKey,
        _ endpoint: Endpoint,
        _ now: NIODeadline
    ) {
        let before = endpoint.transfers.snapshots.bytes
        defer {
            shares.snapshots.add(endpoint.transfers.snapshots.bytes - before, for: endpoint.origin.holder)
            markTimed(endpoint)
        }
        endpoint.transfers.snapshots.makeRoom(for: resource, capacity: configuration.transfersPerEndpoint) { freed in
            shares.snapshots.refusal(of: message.cost - freed, for: endpoint.origin.holder) == nil
        }
        // Without it, each block is cut from what is retained by then, and the entity tag says if that is another one.
        let freed = before - endpoint.transfers.snapshots.bytes
        let refusal = shares.snapshots.refusal(of: message.cost - freed, for: endpoint.origin.holder)
        guard !shares.isRefused(refusal, endpoint) else { return }
        endpoint.transfers.snapshots.keep(
            message,
            eTag: response.eTag,
            contentFormat: response.contentFormat,
            for: resource,
            until: now + settings.blockwiseTimeout
        )
    }

    /// A registration stands: the response is its first notification (RFC 7641 §3.1).
    private func subscribed(
        _ exchange: Exchange,
        _ generation: UInt32,
        _ retained: Message?,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse {
        guard let registration = exchange.registration, let client = exchange.client else {
            throw CoAPFailure(.unspecifiedError)
        }
        client.generation = generation
        var response = CoAPResponse(.content)
        var later: CoAPResponse?
        do throws(CoAPFailure) {
            if let retained { (response, later) = try representFirst(retained, exchange, now) }
        } catch {
            endUse(registration.identifier, of: client, generation)
            throw error
        }
        // Its Content-Format would bind all notifications to come (RFC 7641 §4.2).
        response.contentFormat = exchange.request.accept
        guard !exchange.isDeregistered else {
            endUse(registration.identifier, of: client, generation)
            return response
        }
        response.observe = observe(exchange, registration, client, generation, now)
        if retained == nil { response.maxAge = Observation.maxAge(isProven: isProven(exchange.endpoint)) }
        if var later, let observation = exchange.endpoint.observations[exchange.request.token] {
            later.contentFormat = exchange.request.accept
            later.observe = observation.nextNumber()
            exchange.endpoint.sending.outgoing.append(.response(observation.token, later))
            markDirty(exchange.endpoint)
        }
        return response
    }

    /// The retained message in the response to a registration; where an address may not get it before it is proven, it
    /// follows as a notification.
    private func representFirst(
        _ retained: Message,
        _ exchange: Exchange,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> (CoAPResponse, later: CoAPResponse?) {
        var room = room(for: exchange.request, exchange.endpoint)
        if case .unproven(let bytes) = room { room = .unproven(bytes - Self.observeLength) }
        do throws(CoAPFailure) {
            return (try represent(retained, exchange, in: room, now), nil)
        } catch {
            guard error == .unproven else { throw error }
            return (CoAPResponse(.content), try represent(retained, exchange, in: .datagram, now))
        }
    }

    /// Bytes of the Observe option in a response.
    private static var observeLength: Int { 4 }

    // MARK: Sending

    /// Answers an exchange: in its acknowledgement, or separately once that has been sent (RFC 7252 §5.2).
    func respond(to exchange: Exchange, with answer: CoAPResponse) {
        guard exchange.state != .answered else { return }
        let wasAcknowledged = exchange.state == .acknowledged
        exchange.state = .answered
        let request = exchange.request
        let endpoint = exchange.endpoint
        var response = bounded(answer, request, endpoint)
        if let block1 = request.block1 {
            // Echoed on every response to a block (RFC 7959 §2.3).
            response.block1 = block1
            response.block1?.more = response.code == .continue
        }
        let isDeclined = request.declines(response.code)
        if !request.isConfirmable {
            endpoint.duplicates.answer(request, with: .acknowledged)
            guard !isDeclined else { return }
            if !layer.isReliable { endpoint.sending.pace.answered() }
            _ = layer.sendNonConfirmable(response, token: request.token, to: endpoint.id)
        } else if wasAcknowledged {
            guard !isDeclined else { return }
            endpoint.sending.outgoing.append(.response(request.token, response))
            markDirty(endpoint)
        } else {
            remember(isDeclined ? nil : response, request, endpoint)
            layer.acknowledge(
                request.messageID,
                token: request.token,
                response: isDeclined ? nil : response,
                to: endpoint.id
            )
        }
    }

    /// Keeps an answer for duplicates, but not the body a GET would fetch again just as well.
    private func remember(_ response: CoAPResponse?, _ request: CoAPRequest, _ endpoint: Endpoint) {
        if let response, request.code == .get, response.holdsMessage, response.payloadLength > Self.rememberedPayload {
            endpoint.duplicates.forget(request)
        } else {
            endpoint.duplicates.answer(request, with: response.map(DuplicateFilter.Answer.init) ?? .acknowledged)
        }
    }

    /// Bytes of a message's payload up to which the response that carries it is kept.
    private static var rememberedPayload: Int { 128 }

    /// Acknowledges requests whose answer takes long; it follows separately (RFC 7252 §5.2.2).
    func acknowledgeOverdue(_ now: NIODeadline) {
        while let exchange = pending.unacknowledged.first, exchange.state == .answered || exchange.acknowledgeAt <= now
        {
            pending.unacknowledged.removeFirst()
            guard exchange.state == .open, !exchange.endpoint.isGone else { continue }
            exchange.state = .acknowledged
            let request = exchange.request
            exchange.endpoint.duplicates.answer(request, with: .acknowledged)
            layer.acknowledge(request.messageID, token: request.token, response: nil, to: exchange.endpoint.id)
        }
    }
}
