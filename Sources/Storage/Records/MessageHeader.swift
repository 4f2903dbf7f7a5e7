import BrokerCore
import MQTTCodec
import NIOCore

private enum MessageFlags {
    static let qos: UInt8 = 0x03
    static let retain: UInt8 = 0x04
    static let expiry: UInt8 = 0x08
    static let publisher: UInt8 = 0x10
    static let properties: UInt8 = 0x20
    static let all = qos | retain | expiry | publisher | properties
}

/// What the records of messages and of retained messages begin with.
struct MessageHeader {
    let qos: QoS
    let retain: Bool
    let expiresAt: NIODeadline
    let publisher: PublisherID
    fileprivate let hasProperties: Bool

    init(_ value: inout RecordReader, _ clock: ClockReading) throws(RecordProblem) {
        try value.version()
        let flags = try value.byte()
        guard flags & ~MessageFlags.all == 0, let qos = QoS(rawValue: flags & MessageFlags.qos) else {
            throw .damaged("unknown flags of a message")
        }
        self.qos = qos
        retain = flags & MessageFlags.retain != 0
        expiresAt = flags & MessageFlags.expiry != 0 ? clock.deadline(try value.fixed(UInt64.self)) : .distantFuture
        publisher = flags & MessageFlags.publisher != 0 ? .init(rawValue: try value.fixed(UInt64.self)) : .none
        hasProperties = flags & MessageFlags.properties != 0
    }
}

/// The parts of a message, as they lie in its record or key.
struct MessageContents {
    let topic: UnsafeRawBufferPointer
    /// An MQTT 5.0 property list; nil when there is none.
    let properties: UnsafeRawBufferPointer?
    let payload: UnsafeRawBufferPointer

    /// What the record of a message ends with.
    init(_ value: inout RecordReader, _ header: MessageHeader) throws(RecordProblem) {
        try self.init(topic: try value.sized(), &value, header)
    }

    /// What the record of a retained message ends with; the topic is in its key.
    init(
        topic: UnsafeRawBufferPointer,
        _ value: inout RecordReader,
        _ header: MessageHeader
    ) throws(RecordProblem) {
        guard TopicName.validate(topic.bytes) else { throw .damaged("its topic is no Topic Name") }
        self.topic = topic
        properties = header.hasProperties ? try value.sized() : nil
        payload = value.rest()
    }

    /// Bytes in memory of the message, which is what counts against limits.
    var cost: Int {
        get throws(RecordProblem) {
            Message.cost(
                topic: topic.count,
                payload: payload.count,
                properties: try properties.map { (bytes) throws(RecordProblem) in try PublishProperties(record: bytes) }
            )
        }
    }

    /// Copies the parts into a message.
    func message(_ header: MessageHeader) throws(RecordProblem) -> Message {
        var forwarded: MessageProperties?
        if let properties { forwarded = .forwarded(from: try PublishProperties(record: properties)) }
        return Message(
            topic: topic.bytes,
            payload: payload.bytes,
            qos: header.qos,
            retain: header.retain,
            properties: forwarded,
            expiresAt: header.expiresAt,
            publisher: header.publisher
        )
    }
}

extension RecordWriter {
    @inline(__always)
    mutating func header(_ message: Message, _ properties: MessageProperties?, _ clock: ClockReading) {
        let expiresAt = message.expiresAt
        let publisher = message.publisher
        var flags = message.qos.rawValue
        if message.retain { flags |= MessageFlags.retain }
        if expiresAt != .distantFuture { flags |= MessageFlags.expiry }
        if publisher != .none { flags |= MessageFlags.publisher }
        if properties != nil { flags |= MessageFlags.properties }
        byte(RecordVersion.current)
        byte(flags)
        if expiresAt != .distantFuture { fixed(clock.stored(expiresAt)) }
        if publisher != .none { fixed(publisher.rawValue) }
    }

    /// The value of a retained message, whose topic is in the key.
    mutating func value(retained message: Message, _ payload: RawSpan, _ clock: ClockReading) {
        let properties = message.properties
        header(message, properties, clock)
        if let properties { sized(properties.values.encoded.readableBytesSpan) }
        bytes(payload)
    }
}
