package import MQTTCodec
import NIOCore

extension Broker {
    /// Publishes a message that an adapter has already made.
    ///
    /// - Returns: success, `noMatchingSubscribers`, or the error (not authorized, quota exceeded ...).
    package func publish(_ message: Message, from connection: VirtualConnection) -> ReasonCode {
        guard let session = connection.session else { return .notAuthorized }
        var publication = Publication(message, publisher: session.publisherID)
        return message.withBytes { topic, payload in
            admit(&publication, topic: topic, payload: payload, from: session)
        }
    }

    /// Publishes from a packet's bytes, which are borrowed, and copied only for a recipient that keeps them.
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
            publisher: session.publisherID
        )
        return admit(&publication, topic: topic, payload: payload, from: session)
    }

    /// Checks the client's rights and limits, then routes the message.
    @inline(__always)
    private func admit(
        _ publication: inout Publication,
        topic: RawSpan,
        payload: RawSpan,
        from session: Session
    ) -> ReasonCode {
        guard Int(publication.qos.rawValue) <= limits.maximumQoS else {
            return refused(.qosNotSupported, topic, session)
        }
        if topic.isSystemTopic { return refused(.notAuthorized, topic, session) }
        if limits.publishRate > 0, !session.mayPublish(at: now, rate: limits.publishRate) {
            return refused(.messageRateTooHigh, topic, session)
        }
        if limits.validatesPayloadFormat, publication.isMislabelled(payload) {
            return refused(.payloadFormatInvalid, topic, session)
        }
        if let authorizer = access.authorizer,
            !authorizer.mayPublish(TopicName(validated: topic).string, client: session.identity)
        {
            return refused(.notAuthorized, topic, session)
        }
        if commits.isRefusing, needsStore(publication, topic, from: session) { return storeRefusal(of: session) }
        var refusal = ReasonCode.success
        if publication.retain, !commits.isRefusing {
            refusal = recordingWrites(of: session) {
                retain(&publication, topic: topic, payload: payload, for: session.holder)
            }
            if refusal == .retainNotSupported { return refused(refusal, topic, session) }
            // Another client may have cleared the retained message already, in a batch that is not written yet.
            if payload.isEmpty { waitForAll(session) }
        }
        statistics.published &+= 1
        statistics.publishedBytes &+= UInt64(truncatingIfNeeded: payload.byteCount)
        let isMatched = recordingWrites(of: session) { route(&publication, topic: topic, payload: payload) }
        // A message that can't be retained still goes to subscribers: 3.1.1 acknowledges it, and has no way to refuse
        // it.
        if refusal.isError { return refused(refusal, topic, session) }
        return isMatched ? .success : .noMatchingSubscribers
    }

    /// Logs that a message is refused, since not every client can be told.
    @inline(never)
    private func refused(_ reason: ReasonCode, _ topic: RawSpan, _ session: Session) -> ReasonCode {
        noteRefusal(.publish, TopicName(validated: topic).string, of: session, reason)
        return reason
    }

    /// Publishes a will on the broker's own account.
    func publishWill(_ will: Will, of session: Session) {
        let qos = min(will.qos, QoS(rawValue: UInt8(clamping: limits.maximumQoS)) ?? .exactlyOnce)
        var publication = Publication(
            qos: qos,
            retain: will.retain,
            properties: MessageProperties.forwarded(from: will.properties),
            expiresAt: will.properties.messageExpiryInterval.map { now + .seconds(Int64($0)) } ?? .distantFuture,
            publisher: session.publisherID
        )
        let topic = will.topic.string
        let payload = will.payload
        if topic.utf8Span.span.bytes.isSystemTopic { return noteRefusal(.will, topic, of: session, .notAuthorized) }
        if let authorizer = access.authorizer, !authorizer.mayPublish(topic, client: session.identity) {
            return noteRefusal(.will, topic, of: session, .notAuthorized)
        }
        if will.retain {
            let reason = retain(
                &publication,
                topic: topic.utf8Span.span.bytes,
                payload: payload.readableBytesSpan,
                for: session.holder
            )
            // The will message is published all the same [MQTT-3.1.2-8].
            if reason.isError { noteRefusal(.will, topic, of: session, reason) }
        }
        _ = route(&publication, topic: topic.utf8Span.span.bytes, payload: payload.readableBytesSpan)
    }

    /// Delivers the message to all sessions with a matching subscription.
    ///
    /// - Returns: whether there was any.
    @inline(__always)
    func route(_ publication: inout Publication, topic: RawSpan, payload: RawSpan) -> Bool {
        let route = router.route(of: topic)
        guard !route.isEmpty else { return false }
        output.templates.begin(isShared: route.destinations.count > 1)
        // A reference of its own: output that leaves before the loop ends may change subscriptions.
        let destinations = route.destinations
        let size = destinations.count > 1 ? PublishTemplates.copied(publication, topic, payload) : 0
        for place in destinations.indices {
            if place & (Self.fanOutStep - 1) == Self.fanOutStep - 1 { noteFanOut(Self.fanOutStep * size) }
            let destination = destinations[place]
            var qos = destination.qos
            var retainAsPublished = destination.retainAsPublished
            var identifiers: [UInt32] = []
            if let details = destination.details {
                identifiers = details.identifiers
                // The publisher is among the subscribers: No Local may exclude it [MQTT-3.8.3-3].
                if destination.session.publisherID == publication.publisher {
                    guard let own = details.own else { continue }
                    qos = own.qos
                    retainAsPublished = own.retainAsPublished
                    identifiers = own.identifiers
                }
            }
            deliver(
                &publication,
                topic,
                payload,
                to: destination.session,
                qos: min(qos, publication.qos),
                retain: retainAsPublished && publication.retain,
                identifiers: identifiers,
                share: .none
            )
        }
        if destinations.count > 1 { noteFanOut((destinations.count & (Self.fanOutStep - 1)) * size) }
        for group in route.sharedGroups { deliver(&publication, topic, payload, toOneOf: group) }
        // Copying 256 bytes takes as long as all other work of a delivery.
        turn.effort &+= Backlog.delivery &* destinations.count &* (1 &+ payload.byteCount &>> 8)
        turn.effort &+= 16 &* route.sharedGroups.count
        return true
    }

    /// Delivers the message to one member of a shared subscription, round-robin; members that can take it now come
    /// first (MQTT 5.0 §4.8.2).
    private func deliver(
        _ publication: inout Publication,
        _ topic: RawSpan,
        _ payload: RawSpan,
        toOneOf group: SubscriberList
    ) {
        let name = access.authorizer == nil ? "" : TopicName(validated: topic).string
        let next = group.nextMember(qos: publication.qos) { [authorizer = access.authorizer] in
            authorizer?.mayReceive(name, client: $0.session.identity) ?? true
        }
        guard let member = next else { return }
        deliver(
            &publication,
            topic,
            payload,
            to: member.session,
            qos: min(member.options.qos, publication.qos),
            retain: member.options.retainAsPublished && publication.retain,
            identifiers: member.identifierList,
            share: member.share
        )
    }

    @inline(__always)
    func countDelivery(_ payloadLength: Int) {
        statistics.delivered &+= 1
        statistics.deliveredBytes &+= UInt64(truncatingIfNeeded: payloadLength)
        statistics.packetsSent &+= 1
    }

    /// Delivers to one session: at once if possible, else to its queue.
    @inline(__always)
    private func deliver(
        _ publication: inout Publication,
        _ topic: RawSpan,
        _ payload: RawSpan,
        to session: Session,
        qos: QoS,
        retain: Bool,
        identifiers: [UInt32],
        share: ShareNumber
    ) {
        guard let connection = session.connection, qos == .atMostOnce, identifiers.isEmpty, let stream = session.stream
        else {
            return deliverKept(
                &publication,
                topic,
                payload,
                to: session,
                qos: qos,
                retain: retain,
                identifiers: identifiers,
                share: share
            )
        }
        guard stream.unwritten < stream.dropMark else {
            statistics.dropped &+= 1
            return
        }
        let written = output.templates.write(
            topic: topic,
            payload: payload,
            publication: publication,
            now: now,
            retain: retain,
            to: stream
        )
        guard written else {
            statistics.dropped &+= 1
            return
        }
        countDelivery(payload.byteCount)
        markDirty(connection)
    }

    /// Delivers a message that is copied to memory of its own, since it may be kept.
    @inline(never)
    private func deliverKept(
        _ publication: inout Publication,
        _ topic: RawSpan,
        _ payload: RawSpan,
        to session: Session,
        qos: QoS,
        retain: Bool,
        identifiers: [UInt32],
        share: ShareNumber
    ) {
        guard session.connection != nil || qos != .atMostOnce else { return }
        deliver(
            publication.stored(topic, payload),
            qos: qos,
            retain: retain,
            identifiers: identifiers,
            share: share,
            storedAs: &publication.number,
            to: session
        )
    }
}

extension Session {
    var identity: ClientIdentity { ClientIdentity(clientID: clientID, userName: userName) }

    @inline(__always)
    func takeSequence() -> UInt64 {
        order.nextSequence &+= 1
        return order.nextSequence
    }
}

extension SubscriberList {
    /// The next member in round-robin order that is connected and has room, else the next connected member, else the
    /// next member whose session keeps the message.
    fileprivate func nextMember(qos: QoS, _ mayReceive: (Subscription) -> Bool) -> Subscription? {
        guard !subscriptions.isEmpty else { return nil }
        turn = (turn + 1) % subscriptions.count
        var connected: Subscription?
        var away: Subscription?
        for step in 0..<subscriptions.count {
            let candidate = subscriptions[(turn + step) % subscriptions.count]
            guard !candidate.session.hasEnded, mayReceive(candidate) else { continue }
            guard candidate.session.connection != nil else {
                if away == nil, min(qos, candidate.options.qos) != .atMostOnce { away = candidate }
                continue
            }
            if candidate.session.isReady {
                turn = candidate.slot
                return candidate
            }
            connected = connected ?? candidate
        }
        return connected ?? away
    }
}

extension RawSpan {
    /// Whether only the broker publishes to the topic.
    @inline(__always)
    fileprivate var isSystemTopic: Bool {
        guard byteCount >= 4, unsafeLoad(fromUncheckedByteOffset: 0, as: UInt8.self) == UInt8(ascii: "$") else {
            return false
        }
        // $SYS/# matches $SYS itself [MQTT-4.7.1-2 of 3.1.1].
        return withUnsafeBytes { $0.starts(with: "$SYS".utf8) && ($0.count == 4 || $0[4] == UInt8(ascii: "/")) }
    }
}
