import NIOCore

/// UNSUBACK (MQTT 5.0 §3.11).
package struct Unsuback: Sendable, Equatable {
    package var packetID: PacketID
    /// One for each Topic Filter, in the same order [MQTT-3.11.3-1]; none in MQTT 3.1.1.
    package var reasonCodes: [ReasonCode]
    package var reasonString: String?
    package var userProperties: UserProperties

    package init(
        packetID: PacketID,
        reasonCodes: [ReasonCode] = [],
        reasonString: String? = nil,
        userProperties: UserProperties = UserProperties()
    ) {
        self.packetID = packetID
        self.reasonCodes = reasonCodes
        self.reasonString = reasonString
        self.userProperties = userProperties
    }
}

extension Unsuback {
    init(_ reader: inout PacketReader, version: ProtocolVersion) throws(MalformedPacket) {
        self.init(packetID: try reader.packetID())
        guard version == .v5 else {
            try reader.expectEnd()
            return
        }
        (reasonString, userProperties) = try reader.reasonProperties()
        while !reader.isAtEnd {
            let code = ReasonCode(rawValue: try reader.byte())
            guard code.isAllowed(in: .unsuback) else {
                throw .protocolError("UNSUBACK with \(code) [MQTT-3.11.3-2]")
            }
            reasonCodes.append(code)
        }
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        buffer.writeInteger(packetID)
        guard version == .v5 else { return }
        buffer.writeReasonProperties(reasonString, userProperties)
        for code in reasonCodes { buffer.writeInteger(code.rawValue) }
    }
}
