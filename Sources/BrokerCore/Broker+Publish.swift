package import MQTTCodec
import NIOCore

/// A PUBLISH on its way through the core, apart from its topic and payload, which stay borrowed bytes as long as no
/// queue, window or sink wants to keep them.
struct Publication {
    let qos: QoS
    let retain: Bool
    let properties: MessageProperties?
    let expiresAt: NIODeadline
    let publisher: SessionNumber
    /// The message in memory of its own, once somebody needed that.
    var message: Message?
    /// The properties as MQTT 5 subscribers get them, Message Expiry Interval included; nil when there are none.
    let wireProperties: PublishProperties?

    init(
        qos: QoS,
        retain: Bool,
        properties: MessageProperties?,
        expiresAt: NIODeadline,
        publisher: SessionNumber,
        message: Message? = nil,
        now: NIODeadline
    ) {
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expiresAt = expiresAt
        self.publisher = publisher
        self.message = message
        guard properties != nil || expiresAt != .distantFuture else {
            wireProperties = nil
            return
        }
        var wire = properties?.values ?? PublishProperties()
        if expiresAt != .distantFuture {
            wire.messageExpiryInterval = expiresAt.seconds(after: now)
        }
        wireProperties = wire
    }

    @inline(__always)
    mutating func stored(_ topic: RawSpan, _ payload: RawSpan) -> Message {
        if let message { return message }
        let made = Message(
            topic: topic,
            payload: payload,
            qos: qos,
            retain: retain,
            properties: properties,
            expiresAt: expiresAt,
            publisher: publisher
        )
        message = made
        return made
    }
}

extension Broker {
    /// PUBLISH of a message an adapter has already made.
    ///
    /// - Returns: success, `noMatchingSubscribers`, or why it was refused (not authorized, quota exceeded ...).
    package func publish(_ message: Message, from connection: VirtualConnection) -> ReasonCode {
        guard let session = connection.session else { return .notAuthorized }
        var publication = Publication(
            qos: message.qos,
            retain: message.retain,
            properties: message.properties,
            expiresAt: message.expiresAt,
            publisher: session.number,
            message: message,
            now: now
        )
        return message.withBytes { topic, payload in
            admit(&publication, topic: topic, payload: payload, from: session)
        }
    }

    /// PUBLISH straight from a packet's bytes, which are borrowed and copied only where somebody must keep them.
    ///
    /// - Parameters:
    ///   - topic: a valid Topic Name's UTF-8.
    ///   - properties: the packet's properties; nil when it has none.
    @inline(__always)
    package func publish(
        topic: RawSpan,
        payload: RawSpan,
        qos: QoS,
        retain: Bool,
        properties: PublishProperties?,
        from connection: VirtualConnection
    ) -> ReasonCode {
        guard let session = connection.session else { return .notAuthorized }
        var publication = Publication(
            qos: qos,
            retain: retain,
            properties: properties.flatMap(MessageProperties.forwarded),
            expiresAt: properties?.messageExpiryInterval.map { now + .seconds(Int64($0)) } ?? .distantFuture,
            publisher: session.number,
            now: now
        )
        return admit(&publication, topic: topic, payload: payload, from: session)
    }

    /// Checks what the client may do, then routes.
    @inline(__always)
    private func admit(
        _ publication: inout Publication,
        topic: RawSpan,
        payload: RawSpan,
        from session: Session
    ) -> ReasonCode {
        guard Int(publication.qos.rawValue) <= limits.maximumQoS else { return .qosNotSupported }
        if let authorizer, !authorizer.mayPublish(TopicName(validated: topic).string, client: session.identity) {
            return .notAuthorized
        }
        if publication.retain {
            let reason = retain(&publication, topic: topic, payload: payload)
            if reason.isError { return reason }
        }
        statistics.received &+= 1
        return route(&publication, topic: topic, payload: payload) ? .success : .noMatchingSubscribers
    }

    /// Publishes on the broker's own account: wills.
    func publishWill(_ will: Will, of session: Session) {
        let qos = min(will.qos, QoS(rawValue: UInt8(clamping: limits.maximumQoS)) ?? .exactlyOnce)
        var publication = Publication(
            qos: qos,
            retain: will.retain,
            properties: MessageProperties.forwarded(from: will.properties),
            expiresAt: will.properties.messageExpiryInterval.map { now + .seconds(Int64($0)) } ?? .distantFuture,
            publisher: session.number,
            now: now
        )
        let topic = will.topic.string
        let payload = will.payload
        if let authorizer, !authorizer.mayPublish(topic, client: session.identity) { return }
        if will.retain, retain(&publication, topic: topic.utf8Span.span.bytes, payload: payload.readableBytesSpan).isError {
            return
        }
        _ = route(&publication, topic: topic.utf8Span.span.bytes, payload: payload.readableBytesSpan)
    }

    /// Hands the message to everybody whose subscriptions match.
    ///
    /// - Returns: whether anybody's did.
    @inline(__always)
    private func route(_ publication: inout Publication, topic: RawSpan, payload: RawSpan) -> Bool {
        let route = router.route(of: topic)
        guard !route.isEmpty else { return false }
        templates.begin()
        for destination in route.destinations {
            if destination.session.number == publication.publisher {
                deliverOwn(&publication, topic, payload, destination)
            } else {
                deliver(
                    &publication,
                    topic,
                    payload,
                    to: destination.session,
                    qos: min(destination.qos, publication.qos),
                    retain: destination.retainAsPublished && publication.retain,
                    identifiers: destination.identifiers
                )
            }
        }
        for group in route.sharedGroups { deliver(&publication, topic, payload, toOneOf: group) }
        return true
    }

    /// The publisher is among the subscribers: No Local may take it out [MQTT-3.8.3-3].
    private func deliverOwn(
        _ publication: inout Publication,
        _ topic: RawSpan,
        _ payload: RawSpan,
        _ destination: Route.Destination
    ) {
        var qos = destination.qos
        var identifiers = destination.identifiers
        switch destination.own {
        case .nothing: return
        case .same: break
        case .reduced(let ownQoS, let ownIdentifiers):
            qos = ownQoS
            identifiers = ownIdentifiers
        }
        deliver(
            &publication,
            topic,
            payload,
            to: destination.session,
            qos: min(qos, publication.qos),
            retain: destination.retainAsPublished && publication.retain,
            identifiers: identifiers
        )
    }

    /// One member of a shared subscription gets the message, in turn; those who can take it now come first
    /// (MQTT 5.0 §4.8.2).
    private func deliver(
        _ publication: inout Publication,
        _ topic: RawSpan,
        _ payload: RawSpan,
        toOneOf group: SubscriberList
    ) {
        guard let member = group.nextMember() else { return }
        deliver(
            &publication,
            topic,
            payload,
            to: member.session,
            qos: min(member.options.qos, publication.qos),
            retain: member.options.retainAsPublished && publication.retain,
            identifiers: member.identifier == 0 ? [] : [member.identifier]
        )
    }

    /// Delivers to one session: at once where it can be, else to its queue.
    @inline(__always)
    private func deliver(
        _ publication: inout Publication,
        _ topic: RawSpan,
        _ payload: RawSpan,
        to session: Session,
        qos: QoS,
        retain: Bool,
        identifiers: [UInt32]
    ) {
        guard let connection = session.connection, qos == .atMostOnce, identifiers.isEmpty, let stream = session.stream
        else {
            guard session.connection != nil || qos != .atMostOnce else { return }
            let outbound = OutboundMessage(
                message: publication.stored(topic, payload),
                qos: qos,
                retain: retain,
                identifiers: identifiers,
                sequence: session.takeSequence()
            )
            return deliver(outbound, to: session)
        }
        guard stream.output.readableBytes < stream.dropMark else {
            statistics.dropped &+= 1
            return
        }
        let written = templates.write(
            topic: topic,
            payload: payload,
            properties: publication.wireProperties,
            qos: .atMostOnce,
            retain: retain,
            packetID: 0,
            to: stream,
            maximumPacketSize: session.maximumPacketSize
        )
        guard written else {
            statistics.dropped &+= 1
            return
        }
        statistics.sent &+= 1
        markDirty(connection)
    }
}

extension NIODeadline {
    /// Whole seconds from `now` until this time, rounded up.
    func seconds(after now: NIODeadline) -> UInt32 {
        let left = (self - now).nanoseconds
        return left <= 0 ? 0 : UInt32(clamping: (left + 999_999_999) / 1_000_000_000)
    }
}

extension Session {
    var identity: ClientIdentity { ClientIdentity(clientID: clientID, userName: userName) }

    @inline(__always)
    func takeSequence() -> UInt64 {
        nextSequence &+= 1
        return nextSequence
    }
}

extension SubscriberList {
    /// Whose turn it is: the next one that is connected and has room, else the next connected, else simply the next.
    fileprivate func nextMember() -> Subscription? {
        guard !subscriptions.isEmpty else { return nil }
        turn = (turn + 1) % subscriptions.count
        var connected: Subscription?
        for step in 0..<subscriptions.count {
            let candidate = subscriptions[(turn + step) % subscriptions.count]
            if candidate.session.connection == nil { continue }
            if candidate.session.queue.isEmpty, candidate.session.canSend {
                turn = candidate.slot
                return candidate
            }
            connected = connected ?? candidate
        }
        return connected ?? subscriptions[turn]
    }
}
