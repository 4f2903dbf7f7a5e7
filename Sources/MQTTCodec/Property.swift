import NIOCore

/// One property as it is on the wire (MQTT 5.0 §2.2.2.2).
enum Property {
    case byte(PropertyIdentifier, UInt8)
    case twoByte(PropertyIdentifier, UInt16)
    case fourByte(PropertyIdentifier, UInt32)
    case variable(PropertyIdentifier, UInt32)
    case string(PropertyIdentifier, String)
    case binary(PropertyIdentifier, ByteBuffer)
    /// User Properties that follow one another.
    case users(UserProperties)
}

/// The identifiers of all properties (MQTT 5.0 table 2-4).
enum PropertyIdentifier: UInt8, CaseIterable {
    case payloadFormatIndicator = 0x01
    case messageExpiryInterval = 0x02
    case contentType = 0x03
    case responseTopic = 0x08
    case correlationData = 0x09
    case subscriptionIdentifier = 0x0b
    case sessionExpiryInterval = 0x11
    case assignedClientIdentifier = 0x12
    case serverKeepAlive = 0x13
    case authenticationMethod = 0x15
    case authenticationData = 0x16
    case requestProblemInformation = 0x17
    case willDelayInterval = 0x18
    case requestResponseInformation = 0x19
    case responseInformation = 0x1a
    case serverReference = 0x1c
    case reasonString = 0x1f
    case receiveMaximum = 0x21
    case topicAliasMaximum = 0x22
    case topicAlias = 0x23
    case maximumQoS = 0x24
    case retainAvailable = 0x25
    case userProperty = 0x26
    case maximumPacketSize = 0x27
    case wildcardSubscriptionAvailable = 0x28
    case subscriptionIdentifierAvailable = 0x29
    case sharedSubscriptionAvailable = 0x2a

    /// How its value is encoded.
    enum Encoding {
        case byte
        case twoByte
        case fourByte
        case variable
        case string
        case binary
        case users
    }

    var encoding: Encoding {
        switch self {
        case .payloadFormatIndicator, .requestProblemInformation, .requestResponseInformation, .maximumQoS,
            .retainAvailable, .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable,
            .sharedSubscriptionAvailable:
            .byte
        case .serverKeepAlive, .receiveMaximum, .topicAliasMaximum, .topicAlias: .twoByte
        case .messageExpiryInterval, .sessionExpiryInterval, .willDelayInterval, .maximumPacketSize: .fourByte
        case .subscriptionIdentifier: .variable
        case .contentType, .responseTopic, .assignedClientIdentifier, .authenticationMethod, .responseInformation,
            .serverReference, .reasonString:
            .string
        case .correlationData, .authenticationData: .binary
        case .userProperty: .users
        }
    }

    /// Reads the value; checks the range that the property itself has.
    func readValue(_ reader: inout PacketReader) throws(MalformedPacket) -> Property {
        switch encoding {
        case .byte:
            let value = try reader.byte()
            guard value <= 1 else { throw .protocolError("\(self) is \(value), neither 0 nor 1") }
            return .byte(self, value)
        case .twoByte:
            let value = try reader.twoByteInteger()
            if value == 0, self == .receiveMaximum { throw .protocolError("\(self) 0") }
            // [MQTT-3.3.2-8]
            if value == 0, self == .topicAlias { throw MalformedPacket(.topicAliasInvalid, "\(self) 0") }
            return .twoByte(self, value)
        case .fourByte:
            let value = try reader.fourByteInteger()
            if value == 0, self == .maximumPacketSize { throw .protocolError("\(self) 0") }
            return .fourByte(self, value)
        case .variable:
            let value = try reader.variableByteInteger()
            guard value > 0 else { throw .protocolError("\(self) 0") }
            return .variable(self, value)
        case .string: return .string(self, try reader.string())
        case .binary: return .binary(self, try reader.binary())
        case .users: return .users(try reader.runOfUserProperties())
        }
    }
}

extension PacketReader {
    /// Reads a property list, length and all, and hands each property over.
    ///
    /// - Parameters:
    ///   - allowed: the identifiers that the packet may carry, besides User Property.
    ///   - repeatable: the one of them that may come more than once.
    mutating func properties(
        allowed: Set<PropertyIdentifier>,
        repeatable: PropertyIdentifier? = nil,
        _ take: (Property) throws(MalformedPacket) -> Void
    ) throws(MalformedPacket) {
        var list = try part(Int(try variableByteInteger()))
        try list.propertyList(allowed: allowed, repeatable: repeatable, take)
    }

    /// Reads properties up to the end.
    mutating func propertyList(
        allowed: Set<PropertyIdentifier>,
        repeatable: PropertyIdentifier? = nil,
        _ take: (Property) throws(MalformedPacket) -> Void
    ) throws(MalformedPacket) {
        var seen: UInt64 = 0
        while !isAtEnd {
            let number = try variableByteInteger()
            guard number <= 0x2a, let identifier = PropertyIdentifier(rawValue: UInt8(number)) else {
                throw .malformed("unknown property \(number)")
            }
            guard identifier == .userProperty || allowed.contains(identifier) else {
                throw .protocolError("\(identifier) does not belong into this packet")
            }
            if identifier != .userProperty, identifier != repeatable, seen & (1 << UInt64(number)) != 0 {
                throw .protocolError("\(identifier) more than once")
            }
            seen |= 1 << UInt64(number)
            try take(try identifier.readValue(&self))
        }
    }
}

/// Writes property lists; a value that is nil is left out.
struct PropertyWriter {
    private(set) var bytes = ByteBuffer()

    mutating func byte(_ identifier: PropertyIdentifier, _ value: UInt8?) {
        guard let value else { return }
        bytes.writeMultipleIntegers(identifier.rawValue, value)
    }

    mutating func flag(_ identifier: PropertyIdentifier, _ value: Bool?) {
        byte(identifier, value.map { $0 ? 1 : 0 })
    }

    mutating func twoByte(_ identifier: PropertyIdentifier, _ value: UInt16?) {
        guard let value else { return }
        bytes.writeMultipleIntegers(identifier.rawValue, value)
    }

    mutating func fourByte(_ identifier: PropertyIdentifier, _ value: UInt32?) {
        guard let value else { return }
        bytes.writeMultipleIntegers(identifier.rawValue, value)
    }

    mutating func variable(_ identifier: PropertyIdentifier, _ value: UInt32?) {
        guard let value else { return }
        bytes.writeInteger(identifier.rawValue)
        bytes.writeVariableByteInteger(Int(value))
    }

    mutating func string(_ identifier: PropertyIdentifier, _ value: String?) {
        guard let value else { return }
        bytes.writeInteger(identifier.rawValue)
        bytes.writeMQTTString(value)
    }

    mutating func binary(_ identifier: PropertyIdentifier, _ value: ByteBuffer?) {
        guard let value else { return }
        bytes.writeInteger(identifier.rawValue)
        bytes.writeMQTTBinary(value)
    }

    mutating func users(_ properties: UserProperties) { bytes.writeImmutableBuffer(properties.encoded) }
}

extension ByteBuffer {
    /// Writes a property list with its length.
    mutating func writeProperties(_ writer: PropertyWriter) {
        writeVariableByteInteger(writer.bytes.readableBytes)
        writeImmutableBuffer(writer.bytes)
    }
}
