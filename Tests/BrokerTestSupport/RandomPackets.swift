package import MQTTCodec
import NIOCore

/// Any valid packet, from a seed.
package struct RandomPackets {
    /// What it draws from; a test may draw from it, too.
    package var generator: SplitMix64
    let version: ProtocolVersion

    /// Begins the sequence of a seed.
    package init(seed: UInt64, version: ProtocolVersion) {
        generator = SplitMix64(seed: seed)
        self.version = version
    }

    /// A packet that the peer of `role` may send.
    package mutating func packet(for role: PacketDecoder.Role) -> Packet {
        switch (generator.number(0...9), role) {
        case (0, .server): .connect(connect())
        case (0, .client): .connack(connack())
        case (1, .server): .subscribe(subscribe())
        case (1, .client): .suback(suback())
        case (2, .server): .unsubscribe(unsubscribe())
        case (2, .client): .unsuback(unsuback())
        case (3, .server): .pingreq
        case (3, .client): .pingresp
        case (4, _): .disconnect(disconnect(role))
        case (5, _) where version == .v5: .auth(auth())
        case (5, _), (6, _), (7, _): acknowledgement()
        default: .publish(publish(role))
        }
    }

    /// A PUBLISH that the peer of `role` may send.
    package mutating func publish(_ role: PacketDecoder.Role) -> Publish {
        let qos = generator.pick(QoS.allCases)
        var publish = Publish(
            topic: topic(),
            payload: binary(),
            dup: qos != .atMostOnce && generator.once(in: 2),
            qos: qos,
            retain: generator.once(in: 2),
            packetID: qos == .atMostOnce ? nil : packetID()
        )
        guard version == .v5 else { return publish }
        if generator.once(in: 2) { publish.properties = message() }
        if generator.once(in: 3) {
            publish.properties.topicAlias = generator.number(1...UInt16.max)
            if generator.once(in: 2) { publish.topic = nil }
        }
        if role == .client, generator.once(in: 3) {
            publish.properties.subscriptionIdentifiers = (0...generator.number(0...3)).map { _ in
                generator.number(1...268_435_455)
            }
        }
        return publish
    }

    private mutating func connect() -> Connect {
        var connect = Connect(
            version: version,
            cleanStart: generator.once(in: 2),
            keepAlive: generator.number(0...UInt16.max)
        )
        connect.clientID = string()
        connect.userName = generator.maybe { _ in "name" }
        if version == .v5 || connect.userName != nil {
            connect.password = generator.maybe { ByteBuffer(bytes: $0.bytes(count: 9)) }
        }
        if generator.once(in: 2), let topic = topic() {
            connect.will = Will(
                topic: topic,
                payload: binary(),
                qos: generator.pick(QoS.allCases),
                retain: generator.once(in: 2)
            )
            if version == .v5 {
                connect.will?.properties = message()
                connect.will?.delayInterval = generator.number(0...UInt32.max)
            }
        }
        guard version == .v5 else { return connect }
        connect.properties.sessionExpiryInterval = generator.maybe { $0.number(0...UInt32.max) }
        connect.properties.receiveMaximum = generator.maybe { $0.number(1...UInt16.max) }
        connect.properties.maximumPacketSize = generator.maybe { $0.number(1...UInt32.max) }
        connect.properties.topicAliasMaximum = generator.maybe { $0.number(0...UInt16.max) }
        connect.properties.requestResponseInformation = generator.maybe { $0.once(in: 2) }
        connect.properties.requestProblemInformation = generator.maybe { $0.once(in: 2) }
        connect.properties.userProperties = users()
        if generator.once(in: 3) {
            connect.properties.authenticationMethod = string()
            connect.properties.authenticationData = generator.maybe { ByteBuffer(bytes: $0.bytes(count: 5)) }
        }
        return connect
    }

    private mutating func connack() -> Connack {
        guard version == .v5 else {
            let codes: [ReasonCode] = [
                .success, .unsupportedProtocolVersion, .clientIdentifierNotValid, .serverUnavailable,
                .badUserNameOrPassword, .notAuthorized,
            ]
            return Connack(sessionPresent: generator.once(in: 2), reasonCode: generator.pick(codes))
        }
        var properties = ConnackProperties()
        properties.sessionExpiryInterval = generator.maybe { $0.number(0...UInt32.max) }
        properties.receiveMaximum = generator.maybe { $0.number(1...UInt16.max) }
        properties.maximumQoS = generator.maybe { $0.pick([.atMostOnce, .atLeastOnce]) }
        properties.retainAvailable = generator.maybe { $0.once(in: 2) }
        properties.maximumPacketSize = generator.maybe { $0.number(1...UInt32.max) }
        properties.assignedClientID = optionalString()
        properties.topicAliasMaximum = generator.maybe { $0.number(0...UInt16.max) }
        properties.reasonString = optionalString()
        properties.userProperties = users()
        properties.wildcardSubscriptionAvailable = generator.maybe { $0.once(in: 2) }
        properties.subscriptionIdentifierAvailable = generator.maybe { $0.once(in: 2) }
        properties.sharedSubscriptionAvailable = generator.maybe { $0.once(in: 2) }
        properties.serverKeepAlive = generator.maybe { $0.number(0...UInt16.max) }
        properties.responseInformation = optionalString()
        properties.serverReference = optionalString()
        properties.authenticationMethod = optionalString()
        properties.authenticationData = generator.maybe { ByteBuffer(bytes: $0.bytes(count: 4)) }
        let reason = generator.pick([ReasonCode.success, .notAuthorized, .serverBusy, .packetTooLarge])
        return Connack(sessionPresent: generator.once(in: 2), reasonCode: reason, properties: properties)
    }

    private mutating func acknowledgement() -> Packet {
        let isFirst = generator.once(in: 2)
        var ack = Acknowledgement(packetID: packetID())
        if version == .v5 {
            let codes: [ReasonCode] =
                isFirst ? [.success, .noMatchingSubscribers, .quotaExceeded] : [.success, .packetIdentifierNotFound]
            ack.reasonCode = generator.pick(codes)
            if generator.once(in: 3) {
                ack.reasonString = optionalString()
                ack.userProperties = users()
            }
        }
        let isSecond = generator.once(in: 2)
        return isFirst ? (isSecond ? .puback(ack) : .pubrec(ack)) : (isSecond ? .pubrel(ack) : .pubcomp(ack))
    }

    private mutating func subscribe() -> Subscribe {
        var subscribe = Subscribe(packetID: packetID(), subscriptions: [])
        for _ in 0...generator.number(0...4) {
            var options = SubscriptionOptions(qos: generator.pick(QoS.allCases))
            if version == .v5 {
                options.noLocal = generator.once(in: 2)
                options.retainAsPublished = generator.once(in: 2)
                options.retainHandling = generator.pick(SubscriptionOptions.RetainHandling.allCases)
            }
            subscribe.subscriptions.append(.init(filter: filter(), options: options))
        }
        if version == .v5 {
            subscribe.subscriptionIdentifier = generator.maybe { $0.number(1...268_435_455) }
            subscribe.userProperties = users()
        }
        return subscribe
    }

    private mutating func suback() -> Suback {
        let codes: [ReasonCode] =
            version == .v5
            ? [.grantedQoS0, .grantedQoS1, .grantedQoS2, .notAuthorized, .topicFilterInvalid]
            : [.grantedQoS0, .grantedQoS1, .grantedQoS2, .unspecifiedError]
        var suback = Suback(
            packetID: packetID(),
            reasonCodes: (0...generator.number(0...9)).map { _ in generator.pick(codes) }
        )
        if version == .v5 {
            suback.reasonString = optionalString()
            suback.userProperties = users()
        }
        return suback
    }

    private mutating func unsubscribe() -> Unsubscribe {
        Unsubscribe(
            packetID: packetID(),
            filters: (0...generator.number(0...4)).map { _ in filter() },
            userProperties: version == .v5 ? users() : []
        )
    }

    private mutating func unsuback() -> Unsuback {
        guard version == .v5 else { return Unsuback(packetID: packetID()) }
        return Unsuback(
            packetID: packetID(),
            reasonCodes: (0...generator.number(0...4)).map { _ in generator.pick([.success, .noSubscriptionExisted]) },
            reasonString: optionalString(),
            userProperties: users()
        )
    }

    private mutating func disconnect(_ role: PacketDecoder.Role) -> Disconnect {
        guard version == .v5 else { return Disconnect() }
        var disconnect = Disconnect(reasonCode: generator.pick([.normalDisconnection, .protocolError, .quotaExceeded]))
        guard generator.once(in: 2) else { return disconnect }
        disconnect.reasonString = optionalString()
        disconnect.userProperties = users()
        switch role {
        case .server: disconnect.sessionExpiryInterval = generator.maybe { $0.number(0...UInt32.max) }
        case .client: disconnect.serverReference = optionalString()
        }
        return disconnect
    }

    private mutating func auth() -> Auth {
        Auth(
            reasonCode: generator.pick([.success, .continueAuthentication, .reauthenticate]),
            authenticationMethod: optionalString(),
            authenticationData: generator.maybe { ByteBuffer(bytes: $0.bytes(count: 3)) },
            reasonString: optionalString(),
            userProperties: users()
        )
    }

    /// What PUBLISH and a Will Message have in common.
    private mutating func message() -> PublishProperties {
        var properties = PublishProperties()
        properties.payloadFormatIndicator = generator.maybe { $0.once(in: 2) }
        properties.messageExpiryInterval = generator.maybe { $0.number(0...UInt32.max) }
        properties.responseTopic = generator.once(in: 2) ? topic()?.string : nil
        properties.correlationData = generator.maybe { ByteBuffer(bytes: $0.bytes(count: 8)) }
        properties.contentType = optionalString()
        properties.userProperties = users()
        return properties
    }

    private mutating func packetID() -> PacketID { generator.number(1...PacketID.max) }

    private mutating func binary() -> ByteBuffer {
        let length = generator.pick([0, 1, 20, 120, 128, 300, 17_000])
        return ByteBuffer(bytes: generator.bytes(count: generator.number(0...length)))
    }

    private mutating func users() -> UserProperties {
        guard generator.once(in: 3) else { return [] }
        return UserProperties((0...generator.number(0...3)).map { _ in UserProperty(string(), string()) })
    }

    private mutating func filter() -> String {
        let level = string().filter { $0.unicodeScalars.allSatisfy { $0 != "+" && $0 != "#" } }
        return generator.pick(["t\(level)", "+/\(level)", "\(level)/#"])
    }

    private mutating func optionalString() -> String? { generator.once(in: 3) ? string() : nil }

    private mutating func topic() -> TopicName? {
        try? TopicName("t" + string().filter { $0.unicodeScalars.allSatisfy { $0 != "+" && $0 != "#" } })
    }

    /// Any scalar but U+0000, from each length of UTF-8.
    private mutating func string() -> String {
        var string = ""
        for _ in 0..<generator.number(0...12) {
            let range: ClosedRange<UInt32> = generator.pick([
                1...0x7f, 0x80...0x7ff, 0x800...0xffff, 0x1_0000...0x10_ffff,
            ])
            string.unicodeScalars.append(Unicode.Scalar(generator.number(range)) ?? "\u{FEFF}")
        }
        return string
    }
}
