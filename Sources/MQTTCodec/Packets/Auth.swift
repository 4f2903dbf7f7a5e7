package import NIOCore

/// AUTH, in MQTT 5.0 only (MQTT 5.0 §3.15).
package struct Auth: Sendable, Equatable {
    package var reasonCode: ReasonCode
    package var authenticationMethod: String?
    package var authenticationData: ByteBuffer?
    package var reasonString: String?
    package var userProperties: UserProperties

    package init(
        reasonCode: ReasonCode = .success,
        authenticationMethod: String? = nil,
        authenticationData: ByteBuffer? = nil,
        reasonString: String? = nil,
        userProperties: UserProperties = UserProperties()
    ) {
        self.reasonCode = reasonCode
        self.authenticationMethod = authenticationMethod
        self.authenticationData = authenticationData
        self.reasonString = reasonString
        self.userProperties = userProperties
    }
}

extension Auth {
    init(_ reader: inout PacketReader, version: ProtocolVersion) throws(MalformedPacket) {
        self.init()
        guard !reader.isAtEnd else { return }
        reasonCode = ReasonCode(rawValue: try reader.byte())
        guard reasonCode.isAllowed(in: .auth) else { throw .protocolError("AUTH with \(reasonCode) [MQTT-3.15.2-1]") }
        guard !reader.isAtEnd else { return }
        var values = self
        try reader.properties(allowed: [
            .authenticationMethod, .authenticationData, .reasonString,
        ]) { (property) throws(MalformedPacket) in
            switch property {
            case .string(.authenticationMethod, let value): values.authenticationMethod = value
            case .string(_, let value): values.reasonString = value
            case .binary(_, let value): values.authenticationData = value
            case .users(let more): values.userProperties = values.userProperties.appending(more)
            default: break
            }
        }
        self = values
        try reader.expectEnd()
    }

    func encode(into buffer: inout ByteBuffer) {
        var writer = PropertyWriter()
        writer.string(.authenticationMethod, authenticationMethod)
        writer.binary(.authenticationData, authenticationData)
        writer.string(.reasonString, reasonString)
        writer.users(userProperties)
        let hasProperties = writer.bytes.readableBytes > 0
        guard hasProperties || reasonCode != .success else { return }
        buffer.writeInteger(reasonCode.rawValue)
        if hasProperties { buffer.writeProperties(writer) }
    }
}
