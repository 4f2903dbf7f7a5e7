import BrokerCore
import MQTTCodec

extension RecordWriter {
    mutating func value(_ subscription: SubscriptionRecord) {
        byte(RecordVersion.current)
        byte(subscription.options.byte(.v5))
        compact(UInt64(subscription.identifier))
        if subscription.isOwedRetained { byte(SubscriptionRecord.owedRetained) }
    }

    /// All that there is to know stands in the key.
    mutating func valueOfReceived() { byte(RecordVersion.current) }
}

extension SubscriptionRecord {
    /// - Parameter key: what follows the session.
    init(_ key: inout RecordReader, _ value: inout RecordReader) throws(RecordProblem) {
        try value.version()
        let byte = try value.byte()
        let identifier = try value.compact32()
        let isOwedRetained = value.remaining > 0
        if isOwedRetained, try value.byte() != Self.owedRetained { throw .damaged("an unknown mark") }
        try value.expectEnd()
        let filter = try key.restText()
        guard (try? TopicFilter(filter)) != nil else { throw .damaged("the key has no Topic Filter") }
        let options: SubscriptionOptions
        do throws(MalformedPacket) {
            options = try SubscriptionOptions(byte, version: .v5)
        } catch {
            throw .damaged(error.detail)
        }
        self.init(filter: filter, options: options, identifier: identifier, isOwedRetained: isOwedRetained)
    }

    /// Stands at the end where retained messages are owed.
    fileprivate static let owedRetained: UInt8 = 1
}

/// A QoS 2 Packet Identifier received and not yet released.
struct ReceivedRecord {
    let packetID: PacketID

    /// - Parameter key: what follows the session.
    init(_ key: inout RecordReader, _ value: inout RecordReader) throws(RecordProblem) {
        try value.version()
        try value.expectEnd()
        packetID = try key.fixed(PacketID.self)
        try key.expectEnd()
        guard packetID != 0 else { throw .damaged("Packet Identifier 0") }
    }
}
