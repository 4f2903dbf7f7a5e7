import BrokerCore
import MQTTCodec
import NIOCore

extension MQTTDialogue {
    /// Handles a PUBLISH that is not decoded yet: the hot path.
    @inline(__always)
    func publishReceived(_ packet: RawSpan, _ header: FixedHeader, _ broker: Broker) throws(MalformedPacket) {
        let layout = try PublishLayout.parse(packet, header: header, version: stream.version)
        guard layout.properties.isEmpty, !layout.topic.isEmpty else {
            return try publishWithProperties(packet, layout, broker)
        }
        try publish(packet.extracting(layout.topic), packet.extracting(layout.payload), nil, layout, broker)
    }

    private func publishWithProperties(
        _ packet: RawSpan,
        _ layout: PublishLayout,
        _ broker: Broker
    ) throws(MalformedPacket) {
        broker.count(effort: layout.properties.count >> 1)
        let properties = try PublishProperties.decode(packet.extracting(layout.properties), fromClient: true)
        let payload = packet.extracting(layout.payload)
        guard let alias = properties.topicAlias else {
            guard !layout.topic.isEmpty else {
                throw MalformedPacket(.protocolError, "neither Topic Name nor Topic Alias")
            }
            return try publish(packet.extracting(layout.topic), payload, properties, layout, broker)
        }
        guard Int(alias) <= topicAliases.maximum else {
            throw MalformedPacket(.topicAliasInvalid, "Topic Alias above our Topic Alias Maximum [MQTT-3.3.2-9]")
        }
        if !layout.topic.isEmpty {
            topicAliases[alias] = TopicName(validated: packet.extracting(layout.topic))
            guard broker.keeps(topicAliases.bytes, for: connection) else {
                throw MalformedPacket(.quotaExceeded, "no room for a Topic Alias")
            }
        }
        guard let topic = topicAliases[alias] else {
            throw MalformedPacket(.protocolError, "a Topic Alias that was not set")
        }
        try publish(topic.string.utf8Span.span.bytes, payload, properties, layout, broker)
    }

    @inline(__always)
    private func publish(
        _ topic: RawSpan,
        _ payload: RawSpan,
        _ properties: PublishProperties?,
        _ layout: PublishLayout,
        _ broker: Broker
    ) throws(MalformedPacket) {
        if layout.qos == .atMostOnce {
            let reason = broker.publish(
                topic: topic,
                payload: payload,
                qos: .atMostOnce,
                retain: layout.retain,
                properties: properties,
                from: connection
            )
            if reason.isError { try refused(reason, layout, broker) }
            return
        }
        guard Int(layout.qos.rawValue) <= broker.limits.maximumQoS else {
            throw MalformedPacket(.qosNotSupported, "QoS above our Maximum QoS [MQTT-3.2.2-11]")
        }
        if layout.qos == .exactlyOnce {
            let room = stream.version == .v5 ? broker.limits.receiveMaximum : Int(PacketID.max)
            guard let isNew = broker.receive(layout.packetID, on: connection, receiveMaximum: room) else {
                throw MalformedPacket(.receiveMaximumExceeded, "more QoS 2 messages than our Receive Maximum")
            }
            guard isNew else { return acknowledge(.pubrec, layout.packetID, .success, broker) }
        }
        let reason = broker.publish(
            topic: topic,
            payload: payload,
            qos: layout.qos,
            retain: layout.retain,
            properties: properties,
            from: connection
        )
        if reason.isError { return try refused(reason, layout, broker) }
        if layout.qos == .exactlyOnce { broker.keep(layout.packetID, on: connection) }
        // 3.1.1 acknowledges without a Reason Code; the codec leaves it out.
        acknowledge(layout.qos == .atLeastOnce ? .puback : .pubrec, layout.packetID, reason, broker)
    }

    /// Answers a message that the broker has refused.
    ///
    /// MQTT 5.0 has a Reason Code for QoS 1 and 2. In 3.1.1 the message is acknowledged as usual, since closing would
    /// only make the client send it again [MQTT-3.3.5-2 of 3.1.1].
    private func refused(_ reason: ReasonCode, _ layout: PublishLayout, _ broker: Broker) throws(MalformedPacket) {
        if reason == .retainNotSupported {
            throw MalformedPacket(reason, "RETAIN, which this server does not offer [MQTT-3.2.2-14]")
        }
        if reason == .messageRateTooHigh {
            // Only DISCONNECT has this Reason Code. A message without an acknowledgement is not lost: the client may
            // send it again.
            throw MalformedPacket(reason, "more messages a second than this server takes from one client")
        }
        guard layout.qos != .atMostOnce else { return }
        acknowledge(layout.qos == .atLeastOnce ? .puback : .pubrec, layout.packetID, reason, broker)
    }

    func pubrecReceived(_ packetID: PacketID, _ reason: ReasonCode, _ broker: Broker) throws(MalformedPacket) {
        let verdict = broker.pubrec(packetID, reason: reason, on: connection)
        try check(verdict, of: .pubrec)
        guard !reason.isError else { return }
        acknowledge(.pubrel, packetID, verdict == .expected ? .success : .packetIdentifierNotFound, broker)
    }

    /// Checks that an acknowledgement is the one for its delivery's QoS [MQTT-4.3.2-4], [MQTT-4.3.3-8],
    /// [MQTT-4.3.3-11].
    ///
    /// Any other one is a Protocol Error (MQTT 5.0 §1.2), and closes the connection [MQTT-4.13.1-1],
    /// [MQTT-4.8.0-1 of 3.1.1].
    @inline(__always)
    func check(_ verdict: Acknowledged, of type: PacketType) throws(MalformedPacket) {
        if case .misplaced = verdict {
            throw MalformedPacket(.protocolError, "\(type) for a message that is acknowledged otherwise, or not yet so")
        }
    }

    func pubrelReceived(_ packetID: PacketID, _ broker: Broker) {
        let known = broker.release(packetID, on: connection)
        acknowledge(.pubcomp, packetID, known ? .success : .packetIdentifierNotFound, broker)
    }

    func subscribeReceived(_ subscribe: Subscribe, _ broker: Broker) {
        waiting.isSubscribing = true
        broker.subscribeInSlices(
            isBridge ? subscribe.subscriptions.map(\.ofBridge) : subscribe.subscriptions,
            identifier: subscribe.subscriptionIdentifier,
            on: connection
        ) { [unowned broker] reasonCodes in
            self.waiting.isSubscribing = false
            if let reasonCodes {
                let suback = Suback(packetID: subscribe.packetID, reasonCodes: reasonCodes)
                broker.answer(.suback(suback), on: self.connection, self.stream)
            }
            self.subscribed(broker)
        }
    }

    func unsubscribeReceived(_ unsubscribe: Unsubscribe, _ broker: Broker) {
        let reasonCodes = broker.unsubscribe(unsubscribe.filters, on: connection)
        let unsuback = Unsuback(packetID: unsubscribe.packetID, reasonCodes: reasonCodes)
        broker.answer(.unsuback(unsuback), on: connection, stream)
    }
}

extension Subscribe.Subscription {
    /// A bridge's subscription with the options that mosquitto gives it, since 3.1.1 has none.
    ///
    /// Messages from a bridge are not sent back to it, and messages that are retained here are retained there.
    fileprivate var ofBridge: Self {
        var subscription = self
        subscription.options.retainAsPublished = true
        // No Local is a Protocol Error on a shared subscription [MQTT-3.8.3-4].
        subscription.options.noLocal = !filter.utf8.starts(with: "$share/".utf8)
        return subscription
    }
}
