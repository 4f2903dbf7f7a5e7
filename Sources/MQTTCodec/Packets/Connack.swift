package import NIOCore

/// CONNACK (MQTT 5.0 §3.2).
package struct Connack: Sendable, Equatable {
    package var sessionPresent: Bool
    /// Becomes the nearest return code in MQTT 3.1.1.
    package var reasonCode: ReasonCode
    package var properties: ConnackProperties

    package init(
        sessionPresent: Bool,
        reasonCode: ReasonCode,
        properties: ConnackProperties = ConnackProperties()
    ) {
        self.sessionPresent = sessionPresent
        self.reasonCode = reasonCode
        self.properties = properties
    }
}

/// The properties of CONNACK (MQTT 5.0 §3.2.2.3).
package struct ConnackProperties: Sendable, Equatable {
    /// Seconds.
    package var sessionExpiryInterval: UInt32?
    package var receiveMaximum: UInt16?
    /// Left out when it is 2.
    package var maximumQoS: QoS?
    package var retainAvailable: Bool?
    /// Bytes.
    package var maximumPacketSize: UInt32?
    package var assignedClientID: String?
    package var topicAliasMaximum: UInt16?
    package var reasonString: String?
    package var userProperties: UserProperties = UserProperties()
    package var wildcardSubscriptionAvailable: Bool?
    package var subscriptionIdentifierAvailable: Bool?
    package var sharedSubscriptionAvailable: Bool?
    /// Seconds.
    package var serverKeepAlive: UInt16?
    package var responseInformation: String?
    package var serverReference: String?
    package var authenticationMethod: String?
    package var authenticationData: ByteBuffer?

    package init() {}
}

extension Connack {
    init(_ reader: inout PacketReader, version: ProtocolVersion) throws(MalformedPacket) {
        let flags = try reader.byte()
        guard flags & 0xfe == 0 else { throw .malformed("reserved Connect Acknowledge Flags [MQTT-3.2.2-1]") }
        let code = try reader.byte()
        sessionPresent = flags == 1
        if version == .v5 {
            reasonCode = ReasonCode(rawValue: code)
            guard reasonCode.isAllowed(in: .connack) else { throw .protocolError("CONNACK with \(reasonCode)") }
            properties = try ConnackProperties(&reader)
        } else {
            guard code <= 5 else { throw .protocolError("CONNACK return code \(code)") }
            reasonCode = ReasonCode(connectReturnCode: code)
            properties = ConnackProperties()
        }
        try reader.expectEnd()
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        buffer.writeInteger(sessionPresent ? 1 : 0, as: UInt8.self)
        if version == .v5 {
            buffer.writeInteger(reasonCode.rawValue)
            buffer.writeProperties(properties.writer)
        } else {
            // Server unavailable is the most general refusal 3.1.1 has.
            buffer.writeInteger(reasonCode.connectReturnCode ?? (reasonCode.isError ? 3 : 0))
        }
    }
}

extension ConnackProperties {
    fileprivate init(_ reader: inout PacketReader) throws(MalformedPacket) {
        var values = ConnackProperties()
        try reader.properties(allowed: [
            .sessionExpiryInterval, .receiveMaximum, .maximumQoS, .retainAvailable, .maximumPacketSize,
            .assignedClientIdentifier, .topicAliasMaximum, .reasonString, .wildcardSubscriptionAvailable,
            .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable, .serverKeepAlive, .responseInformation,
            .serverReference, .authenticationMethod, .authenticationData,
        ]) { (property) throws(MalformedPacket) in
            switch property {
            case .fourByte(.sessionExpiryInterval, let value): values.sessionExpiryInterval = value
            case .fourByte(.maximumPacketSize, let value): values.maximumPacketSize = value
            case .twoByte(.receiveMaximum, let value): values.receiveMaximum = value
            case .twoByte(.topicAliasMaximum, let value): values.topicAliasMaximum = value
            case .twoByte(.serverKeepAlive, let value): values.serverKeepAlive = value
            case .byte(.maximumQoS, let value): values.maximumQoS = QoS(rawValue: value)
            case .byte(let identifier, let value): values.take(identifier, value == 1)
            case .string(let identifier, let value): values.take(identifier, value)
            case .binary(_, let value): values.authenticationData = value
            case .users(let more): values.userProperties = values.userProperties.appending(more)
            default: break
            }
        }
        self = values
    }

    private mutating func take(_ identifier: PropertyIdentifier, _ value: Bool) {
        switch identifier {
        case .retainAvailable: retainAvailable = value
        case .wildcardSubscriptionAvailable: wildcardSubscriptionAvailable = value
        case .subscriptionIdentifierAvailable: subscriptionIdentifierAvailable = value
        case .sharedSubscriptionAvailable: sharedSubscriptionAvailable = value
        default: break
        }
    }

    private mutating func take(_ identifier: PropertyIdentifier, _ value: String) {
        switch identifier {
        case .assignedClientIdentifier: assignedClientID = value
        case .reasonString: reasonString = value
        case .responseInformation: responseInformation = value
        case .serverReference: serverReference = value
        case .authenticationMethod: authenticationMethod = value
        default: break
        }
    }

    fileprivate var writer: PropertyWriter {
        var writer = PropertyWriter()
        writer.fourByte(.sessionExpiryInterval, sessionExpiryInterval)
        writer.twoByte(.receiveMaximum, receiveMaximum)
        writer.byte(.maximumQoS, maximumQoS?.rawValue)
        writer.flag(.retainAvailable, retainAvailable)
        writer.fourByte(.maximumPacketSize, maximumPacketSize)
        writer.string(.assignedClientIdentifier, assignedClientID)
        writer.twoByte(.topicAliasMaximum, topicAliasMaximum)
        writer.string(.reasonString, reasonString)
        writer.flag(.wildcardSubscriptionAvailable, wildcardSubscriptionAvailable)
        writer.flag(.subscriptionIdentifierAvailable, subscriptionIdentifierAvailable)
        writer.flag(.sharedSubscriptionAvailable, sharedSubscriptionAvailable)
        writer.twoByte(.serverKeepAlive, serverKeepAlive)
        writer.string(.responseInformation, responseInformation)
        writer.string(.serverReference, serverReference)
        writer.string(.authenticationMethod, authenticationMethod)
        writer.binary(.authenticationData, authenticationData)
        writer.users(userProperties)
        return writer
    }
}
