package import NIOCore

/// The properties of PUBLISH and of a Will Message (MQTT 5.0 §3.3.2.3, §3.1.3.2).
package struct PublishProperties: Sendable, Equatable {
    /// Whether the payload is said to be UTF-8 text; nil when nothing is said.
    package var payloadFormatIndicator: Bool?
    /// Seconds.
    package var messageExpiryInterval: UInt32?
    package var topicAlias: UInt16?
    package var responseTopic: String?
    package var correlationData: ByteBuffer?
    package var userProperties: UserProperties = UserProperties()
    /// Sent by servers only; one for each matching subscription that has one.
    package var subscriptionIdentifiers: [UInt32] = []
    package var contentType: String?

    package init() {}

    /// Whether there is none at all.
    package var isEmpty: Bool {
        payloadFormatIndicator == nil && messageExpiryInterval == nil && topicAlias == nil && responseTopic == nil
            && correlationData == nil && userProperties.isEmpty && subscriptionIdentifiers.isEmpty
            && contentType == nil
    }

    /// Reads a property list given as bytes, without its length.
    ///
    /// - Parameter fromClient: a client may not send Subscription Identifiers [MQTT-3.3.4-6].
    package static func decode(_ list: RawSpan, fromClient: Bool) throws(MalformedPacket) -> PublishProperties {
        var reader = PacketReader(copying: list)
        return try PublishProperties(&reader, fromClient: fromClient)
    }

    /// The property list as bytes, without its length: what `decode` reads.
    package var encoded: ByteBuffer { writer.bytes }
}

extension PublishProperties {
    private static let identifiers: Set<PropertyIdentifier> = [
        .payloadFormatIndicator, .messageExpiryInterval, .topicAlias, .responseTopic, .correlationData, .contentType,
        .subscriptionIdentifier,
    ]
    private static let identifiersOfClients = identifiers.subtracting([.subscriptionIdentifier])

    init(_ list: inout PacketReader, fromClient: Bool) throws(MalformedPacket) {
        var values = PublishProperties()
        try list.propertyList(
            allowed: fromClient ? Self.identifiersOfClients : Self.identifiers,
            repeatable: .subscriptionIdentifier
        ) { (property) throws(MalformedPacket) in
            try values.take(property)
        }
        self = values
    }

    mutating func take(_ property: Property) throws(MalformedPacket) {
        switch property {
        case .byte(.payloadFormatIndicator, let value): payloadFormatIndicator = value == 1
        case .fourByte(.messageExpiryInterval, let value): messageExpiryInterval = value
        case .twoByte(.topicAlias, let value): topicAlias = value
        case .variable(.subscriptionIdentifier, let value): subscriptionIdentifiers.append(value)
        case .string(.contentType, let value): contentType = value
        case .string(.responseTopic, let value):
            // [MQTT-3.3.2-14]
            guard (try? TopicName(value)) != nil else { throw .protocolError("the Response Topic is no Topic Name") }
            responseTopic = value
        case .binary(.correlationData, let value): correlationData = value.ofItsOwn
        case .users(let more): userProperties = userProperties.appending(more)
        default: break
        }
    }

    var writer: PropertyWriter {
        var writer = PropertyWriter()
        writer.flag(.payloadFormatIndicator, payloadFormatIndicator)
        writer.fourByte(.messageExpiryInterval, messageExpiryInterval)
        writer.twoByte(.topicAlias, topicAlias)
        writer.string(.responseTopic, responseTopic)
        writer.binary(.correlationData, correlationData)
        for identifier in subscriptionIdentifiers { writer.variable(.subscriptionIdentifier, identifier) }
        writer.string(.contentType, contentType)
        writer.users(userProperties)
        return writer
    }
}
