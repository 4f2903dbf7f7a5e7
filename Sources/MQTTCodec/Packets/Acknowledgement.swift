import NIOCore

/// PUBACK, PUBREC, PUBREL and PUBCOMP, which are alike (MQTT 5.0 §3.4 to §3.7).
package struct Acknowledgement: Sendable, Equatable {
    package var packetID: PacketID
    /// Always Success in MQTT 3.1.1.
    package var reasonCode: ReasonCode
    package var reasonString: String?
    package var userProperties: UserProperties

    package init(
        packetID: PacketID,
        reasonCode: ReasonCode = .success,
        reasonString: String? = nil,
        userProperties: UserProperties = UserProperties()
    ) {
        self.packetID = packetID
        self.reasonCode = reasonCode
        self.reasonString = reasonString
        self.userProperties = userProperties
    }
}

extension Acknowledgement {
    init(_ reader: inout PacketReader, type: PacketType, version: ProtocolVersion) throws(MalformedPacket) {
        self.init(packetID: try reader.packetID())
        if version == .v5, !reader.isAtEnd {
            reasonCode = ReasonCode(rawValue: try reader.byte())
            guard reasonCode.isAllowed(in: type) else { throw .protocolError("\(type) with \(reasonCode)") }
            if !reader.isAtEnd { (reasonString, userProperties) = try reader.reasonProperties() }
        }
        try reader.expectEnd()
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        buffer.writeInteger(packetID)
        guard version == .v5 else { return }
        let hasProperties = reasonString != nil || !userProperties.isEmpty
        guard hasProperties || reasonCode != .success else { return }
        buffer.writeInteger(reasonCode.rawValue)
        if hasProperties { buffer.writeReasonProperties(reasonString, userProperties) }
    }
}

extension PacketReader {
    /// The properties of all packets that only answer: Reason String and User Properties.
    mutating func reasonProperties() throws(MalformedPacket) -> (String?, UserProperties) {
        var reasonString: String?
        var userProperties: UserProperties = UserProperties()
        try properties(allowed: [.reasonString]) { (property) throws(MalformedPacket) in
            switch property {
            case .string(_, let value): reasonString = value
            case .users(let more): userProperties = userProperties.appending(more)
            default: break
            }
        }
        return (reasonString, userProperties)
    }
}

extension ByteBuffer {
    mutating func writeReasonProperties(_ reasonString: String?, _ userProperties: UserProperties) {
        var writer = PropertyWriter()
        writer.string(.reasonString, reasonString)
        writer.users(userProperties)
        writeProperties(writer)
    }
}
