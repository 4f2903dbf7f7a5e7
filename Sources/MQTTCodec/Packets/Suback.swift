import NIOCore

/// SUBACK (MQTT 5.0 §3.9).
package struct Suback: Sendable, Equatable {
    package var packetID: PacketID
    /// One for each Topic Filter, in the same order [MQTT-3.9.3-1].
    package var reasonCodes: [ReasonCode]
    package var reasonString: String?
    package var userProperties: UserProperties

    package init(
        packetID: PacketID,
        reasonCodes: [ReasonCode],
        reasonString: String? = nil,
        userProperties: UserProperties = UserProperties()
    ) {
        self.packetID = packetID
        self.reasonCodes = reasonCodes
        self.reasonString = reasonString
        self.userProperties = userProperties
    }
}

extension Suback {
    init(_ reader: inout PacketReader, version: ProtocolVersion) throws(MalformedPacket) {
        self.init(packetID: try reader.packetID(), reasonCodes: [])
        if version == .v5 { (reasonString, userProperties) = try reader.reasonProperties() }
        while !reader.isAtEnd {
            let code = ReasonCode(rawValue: try reader.byte())
            guard version == .v5 ? code.isAllowed(in: .suback) : code.rawValue <= 2 || code.rawValue == 0x80 else {
                throw .protocolError("SUBACK with \(code) [MQTT-3.9.3-2]")
            }
            reasonCodes.append(code)
        }
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        buffer.writeInteger(packetID)
        if version == .v5 { buffer.writeReasonProperties(reasonString, userProperties) }
        for code in reasonCodes {
            // 3.1.1 has one code for every failure [MQTT-3.9.3-2 of 3.1.1].
            buffer.writeInteger(version == .v3_1_1 && code.isError ? 0x80 : code.rawValue)
        }
    }
}
