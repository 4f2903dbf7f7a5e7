import NIOCore

/// DISCONNECT (MQTT 5.0 §3.14).
package struct Disconnect: Sendable, Equatable {
    /// Always Normal disconnection in MQTT 3.1.1.
    package var reasonCode: ReasonCode
    /// Seconds; sent by clients only [MQTT-3.14.2-2].
    package var sessionExpiryInterval: UInt32?
    package var reasonString: String?
    package var userProperties: UserProperties
    /// Sent by servers only.
    package var serverReference: String?

    package init(
        reasonCode: ReasonCode = .normalDisconnection,
        sessionExpiryInterval: UInt32? = nil,
        reasonString: String? = nil,
        userProperties: UserProperties = UserProperties(),
        serverReference: String? = nil
    ) {
        self.reasonCode = reasonCode
        self.sessionExpiryInterval = sessionExpiryInterval
        self.reasonString = reasonString
        self.userProperties = userProperties
        self.serverReference = serverReference
    }
}

extension Disconnect {
    init(
        _ reader: inout PacketReader,
        version: ProtocolVersion,
        fromClient: Bool
    ) throws(MalformedPacket) {
        self.init()
        guard version == .v5 else {
            try reader.expectEnd()
            return
        }
        guard !reader.isAtEnd else { return }
        reasonCode = ReasonCode(rawValue: try reader.byte())
        let isAllowed =
            fromClient
            ? PacketType.clientDisconnectReasons.contains(reasonCode.rawValue)
            : reasonCode.isAllowed(in: .disconnect)
        guard isAllowed else { throw .protocolError("DISCONNECT with \(reasonCode) [MQTT-3.14.2-1]") }
        guard !reader.isAtEnd else { return }
        var values = self
        let own: PropertyIdentifier = fromClient ? .sessionExpiryInterval : .serverReference
        try reader.properties(allowed: [own, .reasonString]) { (property) throws(MalformedPacket) in
            switch property {
            case .fourByte(_, let value): values.sessionExpiryInterval = value
            case .string(.reasonString, let value): values.reasonString = value
            case .string(_, let value): values.serverReference = value
            case .users(let more): values.userProperties = values.userProperties.appending(more)
            default: break
            }
        }
        self = values
        try reader.expectEnd()
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        guard version == .v5 else { return }
        var writer = PropertyWriter()
        writer.fourByte(.sessionExpiryInterval, sessionExpiryInterval)
        writer.string(.reasonString, reasonString)
        writer.string(.serverReference, serverReference)
        writer.users(userProperties)
        let hasProperties = writer.bytes.readableBytes > 0
        guard hasProperties || reasonCode != .normalDisconnection else { return }
        buffer.writeInteger(reasonCode.rawValue)
        if hasProperties { buffer.writeProperties(writer) }
    }
}
