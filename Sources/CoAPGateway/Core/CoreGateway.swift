package import BrokerCore
import DequeModule
import MQTTCodec
import NIOCore

/// Carries out on the core loop what the CoAP thread asks: the one way of CoAP into the broker.
package final class CoreGateway: @unchecked Sendable {
    // Sendable: its state is touched on the core loop only.

    /// Requests of one client that may wait until it is connected.
    private static let waitingRequests = 64

    private let inbox: CoreInbox
    private let receiveMaximum: UInt16
    private let capacity: Int
    private let maximumBytes: Int
    private var gathered: [CoreEvent] = []
    private var isGathering = false
    private var waiting: Deque<CoreRequest> = []
    /// Whether the broker goes on with them by itself.
    private var isBehind = false

    /// - Parameters:
    ///   - receiveMaximum: QoS 1 and 2 deliveries of one client that may be under way.
    ///   - capacity: deliveries of one client that may be under way before QoS 0 is dropped.
    ///   - maximumBytes: bytes of them before QoS 0 is dropped and more stays in the core's queue.
    package init(inbox: CoreInbox, receiveMaximum: Int, capacity: Int, maximumBytes: Int = .max) {
        self.maximumBytes = maximumBytes
        self.inbox = inbox
        self.receiveMaximum = UInt16(clamping: max(receiveMaximum, 1))
        self.capacity = capacity
    }

    /// Carries out a batch, and puts off what would keep others waiting.
    package func perform(_ batch: CoreBatch, _ broker: Broker) {
        waiting.append(contentsOf: batch.requests)
        guard !isBehind, !performWaiting(broker) else { return }
        isBehind = true
        broker.goOn(performWaiting)
    }

    /// The answers go back as one batch.
    ///
    /// - Returns: whether all is done.
    private func performWaiting(_ broker: Broker) -> Bool {
        isGathering = true
        while let request = waiting.popFirst() {
            perform(request, broker)
            broker.count(effort: 16)
            if broker.isTurnOver { break }
        }
        isGathering = false
        if !gathered.isEmpty { inbox.append(gathered) }
        gathered.removeAll(keepingCapacity: true)
        if waiting.isEmpty { isBehind = false }
        return waiting.isEmpty
    }

    private func emit(_ event: CoreEvent) {
        if isGathering { gathered.append(event) } else { inbox.append(event) }
    }

    private func perform(_ request: CoreRequest, _ broker: Broker) {
        switch request {
        case .connect(let exchange), .heartbeat(let exchange), .publish(let exchange, _),
            .repeat(let exchange, _), .read(let exchange, _), .look(let exchange), .observe(let exchange, _, _, _),
            .endObservation(let exchange, _, _):
            perform(request, of: exchange, broker)
        case .unsubscribe(let client, let generation, let filter):
            guard let connection = current(client, generation) else { return }
            _ = broker.unsubscribe([filter], on: connection)
        case .settle(let client, let generation, let packetID, let isHeard):
            guard let connection = current(client, generation) else { return }
            if isHeard { broker.heard(from: connection) }
            broker.consumed(1, on: connection)
            if let packetID { broker.acknowledge(packetID, on: connection) }
        case .hear(let client):
            if let connection = client.link.connection { broker.heard(from: connection) }
        case .disconnect(let client):
            client.link.isOver = true
            guard let connection = client.link.connection ?? client.link.connecting else { return }
            let waiting = client.link.waiting
            client.link.connection = nil
            client.link.connecting = nil
            client.link.waiting = []
            broker.disconnect(connection, reason: .normalDisconnection)
            // Each request is answered, whoever is there to hear it.
            for answer in waiting { answer(connection, .serverUnavailable) }
        }
    }

    /// What a request asks for, on its client's connection; those without an exchange have no answer.
    private func carryOut(
        _ request: CoreRequest,
        _ link: CoreLink,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) -> CoreAnswer {
        switch request {
        case .connect: .connected(generation: link.generation, sessionPresent: link.sessionPresent)
        case .publish(_, let operation): publish(operation, connection, broker)
        case .repeat(_, let code): .repeated(code)
        case .read(_, let topic): read(topic, connection, broker)
        case .look: .found(broker.someRetained(WellKnownCore.examined, for: connection))
        case .observe(_, let operation, let identifier, let isRefresh):
            observe(operation, identifier, isRefresh, link.generation, connection, broker)
        case .endObservation(_, let topic, let filter): endObservation(topic, filter, connection, broker)
        case .heartbeat, .unsubscribe, .hear, .settle, .disconnect: .alive(generation: link.generation)
        }
    }

    private func current(_ client: CoAPClient, _ generation: UInt32) -> VirtualConnection? {
        client.link.generation == generation ? client.link.connection : nil
    }

    /// Answers when what the client has brought about is stored.
    private func answer(
        _ exchange: Exchange,
        _ answer: CoreAnswer,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) {
        if broker.isStored(connection) { return emit(.answer(exchange, answer)) }
        broker.whenStored(connection) { [self] isStored in
            emit(.answer(exchange, isStored ? answer : .refused(.serverUnavailable)))
        }
    }

    // MARK: Connecting

    private func perform(_ request: CoreRequest, of exchange: Exchange, _ broker: Broker) {
        guard let client = exchange.client else { return }
        let link = client.link
        if let connection = link.connection {
            broker.heard(from: connection)
            return answer(exchange, carryOut(request, link, connection, broker), connection, broker)
        }
        guard !link.isOver else { return emit(.answer(exchange, .refused(.serverUnavailable))) }
        guard link.waiting.count < Self.waitingRequests else { return emit(.answer(exchange, .refused(.serverBusy))) }
        link.waiting.append { [self] connection, reason in
            guard reason.isError else {
                return answer(exchange, carryOut(request, link, connection, broker), connection, broker)
            }
            emit(.answer(exchange, .refused(reason, whileAnonymous: client.credentials.isAnonymous)))
        }
        // What a client asks while its CONNECT is looked at waits for the same answer.
        guard link.connecting == nil else { return }
        let connection = makeConnection(client)
        link.connecting = connection
        broker.connect(connectRequest(for: client), on: connection) { [self] result in
            let waiting = link.waiting
            link.waiting = []
            link.connecting = nil
            // The session may have ended meanwhile, and there may be another one of its name.
            let isLost = link.hasConnected && client.session != nil && result.sessionNumber != link.sessionNumber
            guard !isLost || result.reasonCode.isError else {
                // With it has ended what its client still believes to observe.
                broker.disconnect(connection, reason: .normalDisconnection)
                emit(.closed(client, generation: link.generation, .sessionTakenOver))
                for answer in waiting { answer(connection, .badUserNameOrPassword) }
                return
            }
            if !result.reasonCode.isError {
                link.connection = connection
                link.hasConnected = true
                link.sessionNumber = result.sessionNumber
                link.sessionPresent = result.sessionPresent
            }
            for answer in waiting { answer(connection, result.reasonCode) }
            if result.sessionPresent { broker.resume(connection) }
        }
    }

    private func connectRequest(for client: CoAPClient) -> ConnectRequest {
        guard let session = client.session else {
            var request = ConnectRequest(client.credentials, receiveMaximum: receiveMaximum)
            request.scope = .connection
            return request
        }
        var request = session.request
        request.receiveMaximum = receiveMaximum
        if client.link.hasConnected { request.cleanStart = false }
        return request
    }

    private func makeConnection(_ client: CoAPClient) -> VirtualConnection {
        client.link.generation &+= 1
        let outlet = ClientOutlet(self, client)
        return VirtualConnection(
            transportProtocol: .coap,
            address: ClientAddress(client.remoteAddress, network: client.holder.network),
            transportIdentity: client.identity,
            outlet: .messages(
                MessageSink(capacity: capacity, maximumBytes: maximumBytes) {
                    outlet.receive($0)
                } withdrawn: {
                    outlet.withdrawn($0)
                } closed: {
                    outlet.closed($0)
                }
            )
        )
    }

    /// Where the core's words for one connection of a client go: what the closures of its sink have in common.
    private final class ClientOutlet: Sendable {
        private let gateway: CoreGateway
        private let client: CoAPClient
        private let generation: UInt32

        init(_ gateway: CoreGateway, _ client: CoAPClient) {
            self.gateway = gateway
            self.client = client
            generation = client.link.generation
        }

        func receive(_ deliveries: [Delivery]) {
            gateway.emit(.deliveries(client, generation: generation, deliveries))
        }

        func withdrawn(_ packetIDs: Set<PacketID>) {
            gateway.emit(.withdrawn(client, generation: generation, packetIDs))
        }

        func closed(_ reason: ReasonCode) {
            if client.link.generation == generation { client.link.connection = nil }
            gateway.emit(.closed(client, generation: generation, reason))
        }
    }

    // MARK: Operations

    private func publish(
        _ operation: PublishOperation,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) -> CoreAnswer {
        if operation.isConditional {
            switch broker.retainedMessage(of: operation.topic, for: connection) {
            case .failure(let refused): return .refused(refused.reasonCode)
            case .success(let retained):
                guard operation.mayProceed(over: retained.map(Representation.init)) else { return .preconditionFailed }
            }
        }
        let stoodBefore = operation.tellsCreated && broker.mayKnowRetained(operation.topic, for: connection)
        let reason = broker.publish(
            topic: operation.topic.string.utf8Span.span.bytes,
            payload: operation.payload.span.bytes,
            qos: operation.qos,
            retain: operation.retain,
            properties: operation.properties,
            from: connection
        )
        return reason.isError ? .refused(reason) : .published(stoodBefore: stoodBefore)
    }

    private func read(_ topic: TopicName, _ connection: VirtualConnection, _ broker: Broker) -> CoreAnswer {
        switch broker.retainedMessage(of: topic, for: connection) {
        case .failure(let refused): .refused(refused.reasonCode)
        case .success(let message): .retained(message)
        }
    }

    private func endObservation(
        _ topic: TopicName?,
        _ filter: String?,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) -> CoreAnswer {
        if let filter { _ = broker.unsubscribe([filter], on: connection) }
        return topic.map { read($0, connection, broker) } ?? .retained(nil)
    }

    /// A filter that is a topic has its retained message in the answer; of any other the core delivers all that match.
    private func observe(
        _ operation: ObserveOperation,
        _ identifier: UInt32,
        _ isRefresh: Bool,
        _ generation: UInt32,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) -> CoreAnswer {
        var options = operation.options
        if operation.topic != nil {
            options.retainHandling = .doNotSend
        } else if isRefresh, options.retainHandling == .sendAtSubscribe {
            // Clients register again by themselves (RFC 7641 §3.3.1): no reason to send it all again.
            options.retainHandling = .sendIfNew
        }
        var reason = ReasonCode.unspecifiedError
        broker.subscribe(
            [Subscribe.Subscription(filter: operation.filter.string, options: options)],
            identifier: identifier,
            on: connection
        ) { reason = $0.first ?? .unspecifiedError }
        guard !reason.isError else { return .refused(reason) }
        var retained: Message?
        if let topic = operation.topic, operation.wantsRetained(isRefresh: isRefresh),
            case .success(let message) = broker.retainedMessage(of: topic, for: connection)
        {
            retained = message
        }
        return .subscribed(generation: generation, retained: retained)
    }
}

extension CoreAnswer {
    /// A client that showed no credentials is told to show some, rather than that it may not.
    fileprivate static func refused(_ reason: ReasonCode, whileAnonymous: Bool) -> CoreAnswer {
        .refused(whileAnonymous && reason == .notAuthorized ? .badUserNameOrPassword : reason)
    }
}

extension ConnectRequest {
    init(_ credentials: ClientCredentials, receiveMaximum: UInt16 = .max) {
        self.init(
            clientID: credentials.clientID,
            userName: credentials.userName,
            password: credentials.password.map { ByteBuffer(string: $0) },
            receiveMaximum: receiveMaximum
        )
    }
}

extension PublishOperation {
    var isConditional: Bool { mustNotExist || !mustMatch.isEmpty }

    /// Whether its preconditions hold (RFC 7252 §5.10.8).
    func mayProceed(over retained: Representation?) -> Bool {
        guard let retained else { return mustMatch.isEmpty }
        guard !mustNotExist else { return false }
        return mustMatch.isEmpty || mustMatch.contains([]) || retained.matches(mustMatch)
    }
}

extension ObserveOperation {
    /// Whether the retained message goes with the answer (Retain Handling, MQTT 5.0 §3.8.3.1).
    func wantsRetained(isRefresh: Bool) -> Bool {
        switch options.retainHandling {
        case .sendAtSubscribe: true
        case .sendIfNew: !isRefresh
        case .doNotSend: false
        }
    }
}
