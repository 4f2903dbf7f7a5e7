package import NIOCore

/// CONNECT (MQTT 5.0 §3.1).
package struct Connect: Sendable, Equatable {
    package var version: ProtocolVersion
    /// Whether another broker says by the Protocol Level that it is one, 0x84, as mosquitto's bridges do.
    package var isBridge: Bool
    /// Clean Start; CleanSession in 3.1.1.
    package var cleanStart: Bool
    /// Seconds; 0 switches the check off.
    package var keepAlive: UInt16
    package var clientID: String
    package var will: Will?
    package var userName: String?
    package var password: ByteBuffer?
    package var properties: ConnectProperties

    package init(
        version: ProtocolVersion = .v5,
        isBridge: Bool = false,
        cleanStart: Bool = true,
        keepAlive: UInt16 = 0,
        clientID: String = "",
        will: Will? = nil,
        userName: String? = nil,
        password: ByteBuffer? = nil,
        properties: ConnectProperties = ConnectProperties()
    ) {
        self.version = version
        self.isBridge = isBridge
        self.cleanStart = cleanStart
        self.keepAlive = keepAlive
        self.clientID = clientID
        self.will = will
        self.userName = userName
        self.password = password
        self.properties = properties
    }
}

/// The properties of CONNECT (MQTT 5.0 §3.1.2.11).
package struct ConnectProperties: Sendable, Equatable {
    /// Seconds.
    package var sessionExpiryInterval: UInt32?
    package var receiveMaximum: UInt16?
    /// Bytes.
    package var maximumPacketSize: UInt32?
    package var topicAliasMaximum: UInt16?
    package var requestResponseInformation: Bool?
    package var requestProblemInformation: Bool?
    package var userProperties: UserProperties = UserProperties()
    package var authenticationMethod: String?
    package var authenticationData: ByteBuffer?

    package init() {}
}

/// A Will Message with its delay (MQTT 5.0 §3.1.3.2 to §3.1.3.4).
package struct Will: Sendable, Equatable {
    package var topic: TopicName
    package var payload: ByteBuffer
    package var qos: QoS
    package var retain: Bool
    /// Seconds.
    package var delayInterval: UInt32
    package var properties: PublishProperties

    package init(
        topic: TopicName,
        payload: ByteBuffer,
        qos: QoS = .atMostOnce,
        retain: Bool = false,
        delayInterval: UInt32 = 0,
        properties: PublishProperties = PublishProperties()
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.delayInterval = delayInterval
        self.properties = properties
    }
}

extension Connect {
    private struct Flags {
        let byte: UInt8
        var cleanStart: Bool { byte & 0x02 != 0 }
        var hasWill: Bool { byte & 0x04 != 0 }
        var willRetain: Bool { byte & 0x20 != 0 }
        var hasPassword: Bool { byte & 0x40 != 0 }
        var hasUserName: Bool { byte & 0x80 != 0 }

        func check(_ version: ProtocolVersion) throws(MalformedPacket) {
            guard byte & 0x01 == 0 else { throw .malformed("the reserved Connect Flag is 1 [MQTT-3.1.2-3]") }
            guard hasWill || byte & 0x38 == 0 else {
                throw .malformed("Will QoS or Will Retain without Will Flag [MQTT-3.1.2-11], [MQTT-3.1.2-13]")
            }
            guard version == .v5 || hasUserName || !hasPassword else {
                throw .malformed("a password without a user name [MQTT-3.1.2-22 of 3.1.1]")
            }
        }

        func willQoS() throws(MalformedPacket) -> QoS {
            guard let qos = QoS(rawValue: byte >> 3 & 0x03) else { throw .malformed("Will QoS 3 [MQTT-3.1.2-12]") }
            return qos
        }
    }

    /// - Parameter versionRead: told the version as soon as it is known: an error further on is answered in its terms.
    init(
        _ reader: inout PacketReader,
        versionRead: (ProtocolVersion) -> Void
    ) throws(MalformedPacket) {
        (version, isBridge) = try Self.readVersion(&reader)
        versionRead(version)
        let flags = Flags(byte: try reader.byte())
        try flags.check(version)
        cleanStart = flags.cleanStart
        keepAlive = try reader.twoByteInteger()
        properties = version == .v5 ? try ConnectProperties(&reader) : ConnectProperties()
        clientID = try reader.string()
        will = nil
        if flags.hasWill {
            will = try Will(&reader, version: version, qos: try flags.willQoS(), retain: flags.willRetain)
        }
        userName = flags.hasUserName ? try reader.string() : nil
        password = flags.hasPassword ? try reader.binary().ofItsOwn : nil
        try reader.expectEnd()
    }

    /// Protocol Name and Protocol Level [MQTT-3.1.2-1], [MQTT-3.1.2-2].
    private static func readVersion(
        _ reader: inout PacketReader
    ) throws(MalformedPacket) -> (version: ProtocolVersion, isBridge: Bool) {
        let name = try reader.string()
        let level = try reader.byte()
        guard name == "MQTT" || name == "MQIsdp" else {
            throw .malformed("the Protocol Name is not MQTT [MQTT-3.1.2-1]")
        }
        // Of 3.1.1 alone: 5.0 has options for what a bridge wants.
        if name == "MQTT", level == ProtocolVersion.v3_1_1.rawValue | bridgeBit { return (.v3_1_1, true) }
        guard name == "MQTT", let version = ProtocolVersion(rawValue: level) else {
            throw MalformedPacket(.unsupportedProtocolVersion, "Protocol Level \(level) [MQTT-3.1.2-2]")
        }
        return (version, false)
    }

    /// Of the Protocol Level; mosquitto's, and of no standard.
    private static let bridgeBit: UInt8 = 0x80

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeMQTTString("MQTT")
        var flags: UInt8 = cleanStart ? 0x02 : 0
        if let will { flags |= 0x04 | will.qos.rawValue << 3 | (will.retain ? 0x20 : 0) }
        if password != nil { flags |= 0x40 }
        if userName != nil { flags |= 0x80 }
        buffer.writeMultipleIntegers(version.rawValue | (isBridge ? Self.bridgeBit : 0), flags, keepAlive)
        if version == .v5 { buffer.writeProperties(properties.writer) }
        buffer.writeMQTTString(clientID)
        if let will {
            if version == .v5 {
                var writer = will.properties.writer
                writer.fourByte(.willDelayInterval, will.delayInterval == 0 ? nil : will.delayInterval)
                buffer.writeProperties(writer)
            }
            buffer.writeMQTTString(will.topic.string)
            buffer.writeMQTTBinary(will.payload)
        }
        if let userName { buffer.writeMQTTString(userName) }
        if let password { buffer.writeMQTTBinary(password) }
    }
}

extension ConnectProperties {
    init(_ reader: inout PacketReader) throws(MalformedPacket) {
        var values = ConnectProperties()
        try reader.properties(allowed: [
            .sessionExpiryInterval, .receiveMaximum, .maximumPacketSize, .topicAliasMaximum,
            .requestResponseInformation, .requestProblemInformation, .authenticationMethod, .authenticationData,
        ]) { (property) throws(MalformedPacket) in
            switch property {
            case .fourByte(.sessionExpiryInterval, let value): values.sessionExpiryInterval = value
            case .twoByte(.receiveMaximum, let value): values.receiveMaximum = value
            case .fourByte(.maximumPacketSize, let value): values.maximumPacketSize = value
            case .twoByte(.topicAliasMaximum, let value): values.topicAliasMaximum = value
            case .byte(.requestResponseInformation, let value): values.requestResponseInformation = value == 1
            case .byte(.requestProblemInformation, let value): values.requestProblemInformation = value == 1
            case .string(.authenticationMethod, let value): values.authenticationMethod = value
            case .binary(.authenticationData, let value): values.authenticationData = value.ofItsOwn
            case .users(let more): values.userProperties = values.userProperties.appending(more)
            default: break
            }
        }
        if values.authenticationData != nil, values.authenticationMethod == nil {
            throw .protocolError("Authentication Data without Authentication Method")
        }
        self = values
    }

    fileprivate var writer: PropertyWriter {
        var writer = PropertyWriter()
        writer.fourByte(.sessionExpiryInterval, sessionExpiryInterval)
        writer.twoByte(.receiveMaximum, receiveMaximum)
        writer.fourByte(.maximumPacketSize, maximumPacketSize)
        writer.twoByte(.topicAliasMaximum, topicAliasMaximum)
        writer.flag(.requestResponseInformation, requestResponseInformation)
        writer.flag(.requestProblemInformation, requestProblemInformation)
        writer.string(.authenticationMethod, authenticationMethod)
        writer.binary(.authenticationData, authenticationData)
        writer.users(userProperties)
        return writer
    }
}

extension Will {
    fileprivate init(
        _ reader: inout PacketReader,
        version: ProtocolVersion,
        qos: QoS,
        retain: Bool
    ) throws(MalformedPacket) {
        var properties = PublishProperties()
        var delay: UInt32 = 0
        if version == .v5 {
            try reader.properties(allowed: [
                .willDelayInterval, .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic,
                .correlationData,
            ]) { (property) throws(MalformedPacket) in
                if case .fourByte(.willDelayInterval, let value) = property {
                    delay = value
                } else {
                    try properties.take(property)
                }
            }
        }
        let name = try reader.string()
        guard let topic = try? TopicName(name) else {
            throw MalformedPacket(.topicNameInvalid, "the Will Topic is no Topic Name")
        }
        self.init(
            topic: topic,
            payload: try reader.binary().ofItsOwn,
            qos: qos,
            retain: retain,
            delayInterval: delay,
            properties: properties
        )
    }
}
