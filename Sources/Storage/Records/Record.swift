import BrokerCore
import MQTTCodec
import NIOCore

/// One record, decoded.
enum Record {
    case session(SessionRecord)
    case subscription(SubscriptionRecord, of: SessionNumber)
    case received(PacketID, of: SessionNumber)
    case retained(Message)
    /// Without its contents.
    case message(RecoveredMessage)
    /// What has become of one delivery of the message before it.
    case delivery(StoredPlace, DeliveryState)

    init(
        _ kind: RecordKind,
        key: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer,
        _ clock: ClockReading
    ) throws(RecordProblem) {
        var key = RecordReader(UnsafeRawBufferPointer(rebasing: key.dropFirst()))
        var value = RecordReader(value)
        switch kind {
        case .format: throw .damaged("a second format record")
        case .session: self = .session(try SessionRecord(&key, &value, clock))
        case .subscription:
            let session = SessionNumber(rawValue: try key.fixed(UInt64.self))
            self = .subscription(try SubscriptionRecord(&key, &value), of: session)
        case .received:
            let session = SessionNumber(rawValue: try key.fixed(UInt64.self))
            self = .received(try ReceivedRecord(&key, &value).packetID, of: session)
        case .retained:
            let header = try MessageHeader(&value, clock)
            let contents = try MessageContents(topic: key.rest(), &value, header)
            self = .retained(try contents.message(header))
        case .message:
            let number = MessageNumber(rawValue: try key.fixed(UInt64.self))
            guard number != .none else { throw .damaged("message number 0") }
            if key.remaining == 0 {
                self = .message(try RecoveredMessage(number, &value, clock))
            } else {
                let place = StoredPlace(message: number, destination: try key.fixed(UInt32.self))
                try key.expectEnd()
                self = .delivery(place, try DeliveryState(&value))
            }
        }
    }
}

extension Record {
    /// Reads what the record of a message has besides that which recovery wants.
    static func checkContents(_ value: UnsafeRawBufferPointer, _ clock: ClockReading) throws(RecordProblem) {
        var value = RecordReader(value)
        _ = try LoadedMessage(&value, destination: 0, state: nil, clock)
    }
}

extension KeyValueStore {
    /// Goes through all records of a kind, decoded or with what is wrong with them.
    func records(
        _ kind: RecordKind,
        _ clock: ClockReading,
        _ take: (_ key: UnsafeRawBufferPointer, _ record: Result<Record, RecordProblem>) -> Bool
    ) throws(StoreFailure) {
        try scan(prefix: kind.prefix) { key, value in
            take(key, Result { () throws(RecordProblem) in try Record(kind, key: key, value: value, clock) })
        }
    }
}

/// A key in words for people.
func describe(_ key: UnsafeRawBufferPointer) -> String {
    let kind = key.first.flatMap(RecordKind.init(rawValue:))
    let rest = UnsafeRawBufferPointer(rebasing: key.dropFirst())
    switch kind {
    case .session? where rest.first == 0:
        if let text = String(validating: rest.dropFirst(), as: UTF8.self) { return "the broker's own session \(text)" }
    case .session?, .retained?:
        if let text = String(validating: rest, as: UTF8.self) { return "\(kind?.words ?? "") \(text)" }
    case .subscription? where rest.count > 8:
        if let filter = String(validating: rest.dropFirst(8), as: UTF8.self) { return "subscription \(filter)" }
    case .message? where rest.count >= 8:
        return "message \(UInt64(bigEndian: rest.loadUnaligned(as: UInt64.self)))"
    default: break
    }
    let hex = key.prefix(40).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return "\(kind?.words ?? "unknown record") with the key \(hex)"
}
