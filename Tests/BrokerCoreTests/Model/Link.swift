import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore

/// One network connection, on both sides: what its client does is done to the broker and to the model.
final class Link {
    let client: TestClient
    let connection: ModelConnection
    /// The connection that this one has taken over, until it has been compared.
    var former: Link?
    var topicAliases: [UInt16: TopicName] = [:]
    /// Messages published at QoS 2, to be sent again under the same identifier.
    private var published: [PacketID: Publish] = [:]
    private var lastID: PacketID = 0
    /// What is to be sent in one segment; nil when each packet goes by itself.
    private var segment: ByteBuffer?

    init(_ client: TestClient, _ connection: ModelConnection) {
        self.client = client
        self.connection = connection
    }

    func session(_ model: ModelBroker) -> ModelSession? {
        let session = model.session(connection.client)
        return session?.connection === connection ? session : nil
    }

    private func send(_ packet: Packet, _ model: ModelBroker) {
        connection.heardAt = model.now
        send(packet)
    }

    private func send(_ packet: Packet) {
        if segment != nil { segment?.writeImmutableBuffer(client.encoded(packet)) } else { client.send(packet) }
    }

    func beginSegment() { segment = segment ?? ByteBuffer() }

    private func endSegment() { if let bytes = segment.take() { client.send(bytes) } }

    // MARK: Connections

    func connect(_ number: Int, _ wanted: Schedule.Connecting, _ text: String) {
        var connect = Connect(
            version: wanted.version,
            cleanStart: wanted.cleanStart,
            keepAlive: wanted.keepAlive,
            clientID: "c\(number)"
        )
        if let will = wanted.will, let topic = try? TopicName(Schedule.willTopic(number)) {
            var message = Will(
                topic: topic,
                payload: ByteBuffer(string: text),
                qos: will.qos,
                retain: will.retain,
                delayInterval: will.delayInterval
            )
            message.properties.messageExpiryInterval = will.messageExpiryInterval
            connect.will = message
        }
        if wanted.version == .v5 {
            connect.properties.sessionExpiryInterval = wanted.sessionExpiryInterval
            connect.properties.receiveMaximum = wanted.receiveMaximum
            connect.properties.topicAliasMaximum = wanted.topicAliasMaximum
            if wanted.takesSmallOnly { connect.properties.maximumPacketSize = Schedule.maximumPacketSize }
        }
        send(.connect(connect))
    }

    func drop(_ model: ModelBroker) {
        if let session = session(model) { model.lose(session) }
        connection.isClosed = true
        connection.isOver = true
        client.drop()
    }

    func disconnect(_ model: ModelBroker, withWill: Bool, expiry: UInt32?) {
        guard let session = session(model) else { return }
        let isVersion5 = connection.version == .v5
        let reason: ReasonCode = isVersion5 && withWill ? .disconnectWithWillMessage : .normalDisconnection
        let expiry = isVersion5 ? expiry : nil
        model.disconnect(session, reason, expiry: expiry)
        if !connection.isClosed {
            connection.isClosed = true
            connection.isOver = true
        }
        send(.disconnect(Disconnect(reasonCode: reason, sessionExpiryInterval: expiry)))
    }

    func setWritable(_ model: ModelBroker, _ isWritable: Bool) {
        connection.isWritable = isWritable
        session(model)?.sendAhead()
        client.setWritable(isWritable)
    }

    func ping(_ model: ModelBroker) {
        connection.answers.append(.pingresp)
        send(.pingreq, model)
    }

    // MARK: Subscriptions

    func subscribe(_ model: ModelBroker, _ wanted: [Subscribe.Subscription], _ identifier: UInt32?) throws {
        guard let session = session(model) else { return }
        var wanted = wanted
        var identifier = identifier
        if connection.version == .v3_1_1 {
            for place in wanted.indices { wanted[place].options = SubscriptionOptions(qos: wanted[place].options.qos) }
            identifier = nil
        }
        let id = client.takePacketID()
        let codes = wanted.map { ReasonCode(rawValue: $0.options.qos.rawValue) }
        connection.answers.append(.suback(id, codes))
        try model.subscribe(session, wanted, identifier: identifier)
        send(.subscribe(Subscribe(packetID: id, subscriptions: wanted, subscriptionIdentifier: identifier)), model)
    }

    func unsubscribe(_ model: ModelBroker, _ filters: [String]) {
        guard let session = session(model) else { return }
        let id = client.takePacketID()
        let codes = model.unsubscribe(session, filters)
        connection.answers.append(.unsuback(id, connection.version == .v5 ? codes : []))
        send(.unsubscribe(Unsubscribe(packetID: id, filters: filters)), model)
    }

    /// UNSUBSCRIBE, and the end of the session if the version has words for it, in one segment.
    func leave(_ model: ModelBroker, _ filters: [String]) {
        guard session(model) != nil else { return }
        beginSegment()
        model.inNoOrder {
            unsubscribe(model, filters)
            disconnect(model, withWill: false, expiry: 0)
        }
        endSegment()
    }

    // MARK: Publishing

    func publish(_ model: ModelBroker, _ wanted: Schedule.Publishing, _ number: Int) throws {
        guard let session = session(model) else { return }
        let isVersion5 = connection.version == .v5
        var id: PacketID?
        if wanted.qos != .atMostOnce {
            repeat { lastID += 1 } while session.received.contains(lastID)
            id = lastID
        }
        let message = ModelMessage(
            topic: try TopicName(wanted.topic),
            text: wanted.isEmpty ? "" : "m\(number)" + (wanted.isLarge ? String(repeating: ".", count: 300) : ""),
            qos: wanted.qos,
            retain: wanted.retain,
            contentType: isVersion5 && wanted.hasContentType ? "type/\(number)" : nil,
            isLarge: wanted.isLarge,
            expiresAt: isVersion5 ? wanted.messageExpiryInterval.map { model.now + Int64($0) * 1_000 } : nil,
            publisher: connection.client
        )
        var publish = Publish(
            topic: message.topic,
            payload: ByteBuffer(string: message.text),
            qos: message.qos,
            retain: message.retain,
            packetID: id
        )
        publish.properties.contentType = message.contentType
        publish.properties.messageExpiryInterval = isVersion5 ? wanted.messageExpiryInterval : nil
        let hasMatch = model.publish(message)
        if let id { answer(id, message.qos, hasMatch: hasMatch) }
        if let id, message.qos == .exactlyOnce {
            session.received.append(id)
            published[id] = publish
        }
        send(.publish(publish), model)
    }

    /// 5.0 may say that nobody is there to get it; 3.1.1 has no words for it.
    private func answer(_ id: PacketID, _ qos: QoS, hasMatch: Bool) {
        let reasons: [ReasonCode] =
            hasMatch || connection.version == .v3_1_1 ? [.success] : [.success, .noMatchingSubscribers]
        connection.answers.append(.acknowledgement(qos == .atLeastOnce ? .puback : .pubrec, id, reasons))
    }

    /// A repetition is acknowledged, and goes no further [MQTT-4.3.3-10].
    func publishAgain(_ model: ModelBroker, _ pick: Int) throws {
        guard let session = session(model), !session.received.isEmpty else { return }
        let id = session.received[pick % session.received.count]
        // The same message is not at hand after the connection on which it was published.
        var publish = try published[id] ?? Publish(topic: TopicName("t/a"), qos: .exactlyOnce, packetID: id)
        publish.dup = true
        answer(id, .exactlyOnce, hasMatch: false)
        send(.publish(publish), model)
    }

    func release(_ model: ModelBroker, _ pick: Int) {
        guard let session = session(model), !session.received.isEmpty else { return }
        let id = session.received.remove(at: pick % session.received.count)
        connection.answers.append(.acknowledgement(.pubcomp, id, [.success]))
        send(.pubrel(Acknowledgement(packetID: id)), model)
    }

    // MARK: Acknowledging

    func acknowledge(_ model: ModelBroker, _ pick: Int) {
        guard let session = session(model), !session.inflight.isEmpty else { return }
        let place = pick % session.inflight.count
        let (entry, ack) = (session.inflight[place], Acknowledgement(packetID: session.inflight[place].packetID))
        if entry.copy.qos == .exactlyOnce, !entry.isReleased {
            session.inflight[place].isReleased = true
            connection.answers.append(.acknowledgement(.pubrel, entry.packetID, [.success]))
            session.sendAhead()
            return send(.pubrec(ack), model)
        }
        session.inflight.remove(at: place)
        session.sendAhead()
        send(entry.isReleased ? .pubcomp(ack) : .puback(ack), model)
    }

    func refuse(_ model: ModelBroker, _ pick: Int) {
        guard let session = session(model), connection.version == .v5 else { return }
        let places = session.inflight.indices.filter {
            session.inflight[$0].copy.qos == .exactlyOnce && !session.inflight[$0].isReleased
        }
        guard !places.isEmpty else { return }
        let entry = session.inflight.remove(at: places[pick % places.count])
        session.sendAhead()
        send(.pubrec(Acknowledgement(packetID: entry.packetID, reasonCode: .quotaExceeded)), model)
    }

    /// Far above all identifiers in use.
    func stray(_ model: ModelBroker, _ type: PacketType) {
        let ack = Acknowledgement(packetID: 60_000)
        let reason: ReasonCode = connection.version == .v5 ? .packetIdentifierNotFound : .success
        switch type {
        case .puback: send(.puback(ack), model)
        case .pubcomp: send(.pubcomp(ack), model)
        case .pubrec:
            connection.answers.append(.acknowledgement(.pubrel, ack.packetID, [reason]))
            send(.pubrec(ack), model)
        default:
            connection.answers.append(.acknowledgement(.pubcomp, ack.packetID, [reason]))
            send(.pubrel(ack), model)
        }
    }
}
