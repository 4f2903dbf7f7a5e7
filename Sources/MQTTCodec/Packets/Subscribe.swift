import NIOCore

/// SUBSCRIBE (MQTT 5.0 §3.8).
package struct Subscribe: Sendable, Equatable {
    /// One Topic Filter, well-formed as read, and how its messages are wanted.
    package struct Subscription: Sendable, Equatable {
        package var filter: String
        package var options: SubscriptionOptions

        package init(filter: String, options: SubscriptionOptions = SubscriptionOptions()) {
            self.filter = filter
            self.options = options
        }
    }

    package var packetID: PacketID
    /// At least one [MQTT-3.8.3-2].
    package var subscriptions: [Subscription]
    /// 1 to 268,435,455.
    package var subscriptionIdentifier: UInt32?
    package var userProperties: UserProperties

    package init(
        packetID: PacketID,
        subscriptions: [Subscription],
        subscriptionIdentifier: UInt32? = nil,
        userProperties: UserProperties = UserProperties()
    ) {
        self.packetID = packetID
        self.subscriptions = subscriptions
        self.subscriptionIdentifier = subscriptionIdentifier
        self.userProperties = userProperties
    }
}

/// The Subscription Options (MQTT 5.0 §3.8.3.1).
package struct SubscriptionOptions: Sendable, Equatable {
    /// When retained messages are sent.
    package enum RetainHandling: UInt8, Sendable, CaseIterable {
        case sendAtSubscribe = 0
        case sendIfNew
        case doNotSend
    }

    /// The highest QoS messages are sent at.
    package var qos: QoS
    /// Not the messages this client publishes itself.
    package var noLocal: Bool
    /// RETAIN as the publisher set it.
    package var retainAsPublished: Bool
    package var retainHandling: RetainHandling

    package init(
        qos: QoS = .atMostOnce,
        noLocal: Bool = false,
        retainAsPublished: Bool = false,
        retainHandling: RetainHandling = .sendAtSubscribe
    ) {
        self.qos = qos
        self.noLocal = noLocal
        self.retainAsPublished = retainAsPublished
        self.retainHandling = retainHandling
    }

    /// Reads the byte that is on the wire.
    ///
    /// - Throws: on reserved bits and values [MQTT-3.8.3-5]; 3.1.1 knows the QoS alone [MQTT-3-8.3-4 of 3.1.1].
    package init(_ byte: UInt8, version: ProtocolVersion) throws(MalformedPacket) {
        guard byte & (version == .v5 ? 0xc0 : 0xfc) == 0 else {
            throw .malformed("reserved bits of the Subscription Options [MQTT-3.8.3-5]")
        }
        guard let qos = QoS(rawValue: byte & 0x03) else { throw .malformed("QoS 3 in SUBSCRIBE [MQTT-3.8.3-5]") }
        guard let retainHandling = RetainHandling(rawValue: byte >> 4 & 0x03) else {
            throw .protocolError("Retain Handling 3")
        }
        self.init(
            qos: qos,
            noLocal: byte & 0x04 != 0,
            retainAsPublished: byte & 0x08 != 0,
            retainHandling: retainHandling
        )
    }

    /// The byte that is on the wire.
    package func byte(_ version: ProtocolVersion) -> UInt8 {
        guard version == .v5 else { return qos.rawValue }
        return qos.rawValue | (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0) | retainHandling.rawValue << 4
    }
}

extension Subscribe {
    init(
        _ reader: inout PacketReader,
        version: ProtocolVersion,
        maximumFilters: Int
    ) throws(MalformedPacket) {
        self.init(packetID: try reader.packetID(), subscriptions: [])
        if version == .v5 {
            var identifier: UInt32?
            var users = UserProperties()
            try reader.properties(allowed: [.subscriptionIdentifier]) { (property) throws(MalformedPacket) in
                switch property {
                case .variable(_, let value): identifier = value
                case .users(let more): users = users.appending(more)
                default: break
                }
            }
            subscriptionIdentifier = identifier
            userProperties = users
        }
        while !reader.isAtEnd {
            let filter = try reader.topicFilter()
            let options = try SubscriptionOptions(try reader.byte(), version: version)
            if options.noLocal, filter.utf8.starts(with: "$share/".utf8) {
                throw .protocolError("No Local on a Shared Subscription [MQTT-3.8.3-4]")
            }
            subscriptions.append(Subscription(filter: filter, options: options))
            guard subscriptions.count <= maximumFilters else { throw .tooManyFilters(maximumFilters) }
        }
        guard !subscriptions.isEmpty else { throw .protocolError("SUBSCRIBE without Topic Filter [MQTT-3.8.3-2]") }
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        buffer.writeInteger(packetID)
        if version == .v5 {
            var writer = PropertyWriter()
            writer.variable(.subscriptionIdentifier, subscriptionIdentifier)
            writer.users(userProperties)
            buffer.writeProperties(writer)
        }
        for subscription in subscriptions {
            buffer.writeMQTTString(subscription.filter)
            buffer.writeInteger(subscription.options.byte(version))
        }
    }
}
