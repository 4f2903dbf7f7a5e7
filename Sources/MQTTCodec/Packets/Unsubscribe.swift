import NIOCore

/// UNSUBSCRIBE (MQTT 5.0 §3.10).
package struct Unsubscribe: Sendable, Equatable {
    package var packetID: PacketID
    /// At least one [MQTT-3.10.3-2], well-formed as read.
    package var filters: [String]
    package var userProperties: UserProperties

    package init(packetID: PacketID, filters: [String], userProperties: UserProperties = UserProperties()) {
        self.packetID = packetID
        self.filters = filters
        self.userProperties = userProperties
    }
}

extension Unsubscribe {
    init(
        _ reader: inout PacketReader,
        version: ProtocolVersion,
        maximumFilters: Int
    ) throws(MalformedPacket) {
        self.init(packetID: try reader.packetID(), filters: [])
        if version == .v5 { userProperties = try reader.userProperties() }
        while !reader.isAtEnd {
            filters.append(try reader.topicFilter())
            guard filters.count <= maximumFilters else { throw .tooManyFilters(maximumFilters) }
        }
        guard !filters.isEmpty else { throw .protocolError("UNSUBSCRIBE without Topic Filter [MQTT-3.10.3-2]") }
    }

    func encode(_ version: ProtocolVersion, into buffer: inout ByteBuffer) {
        buffer.writeInteger(packetID)
        if version == .v5 {
            var writer = PropertyWriter()
            writer.users(userProperties)
            buffer.writeProperties(writer)
        }
        for filter in filters { buffer.writeMQTTString(filter) }
    }
}

extension PacketReader {
    /// A string that is a Topic Filter by its form; whether it can be had is another question.
    mutating func topicFilter() throws(MalformedPacket) -> String {
        let filter = try string()
        try TopicFilter.checkForm(filter)
        return filter
    }

    /// A property list in which only User Properties may stand.
    fileprivate mutating func userProperties() throws(MalformedPacket) -> UserProperties {
        var users = UserProperties()
        try properties(allowed: []) { (property) throws(MalformedPacket) in
            if case .users(let more) = property { users = users.appending(more) }
        }
        return users
    }
}
