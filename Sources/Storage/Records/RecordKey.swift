import BrokerCore
import MQTTCodec

/// What a record is about: the first byte of its key.
enum RecordKind: UInt8, CaseIterable {
    /// That this is a store of Sluice.
    case format = 0x21  // !
    /// A subscription: session, Topic Filter.
    case subscription = 0x66  // f
    /// A message, or what became of one of its deliveries: message, and then the delivery's place.
    case message = 0x6d  // m
    /// A QoS 2 Packet Identifier received: session, identifier.
    case received = 0x72  // r
    /// A session: Client Identifier; one of the broker's own: a zero byte, which no Client Identifier has, and its name.
    case session = 0x73  // s
    /// A retained message: Topic Name.
    case retained = 0x74  // t

    /// All its keys begin with it.
    var prefix: [UInt8] { [rawValue] }

    /// For people.
    var words: String {
        switch self {
        case .format: "format"
        case .subscription: "subscription"
        case .message: "message"
        case .received: "received Packet Identifier"
        case .session: "session"
        case .retained: "retained message"
        }
    }
}

/// The version that every record begins with.
enum RecordVersion {
    /// The one that is written, of all kinds but sessions.
    static let current: UInt8 = 1
    /// Of sessions; 1 did not say whether the user name was proven.
    static let session: UInt8 = 2
}

// How keys are written.
extension RecordWriter {
    @inline(__always)
    mutating func key(session name: SessionName) {
        byte(RecordKind.session.rawValue)
        if name.isOwn { byte(0) }
        text(name.string)
    }

    @inline(__always)
    mutating func key(subscription filter: String, of session: SessionNumber) {
        byte(RecordKind.subscription.rawValue)
        fixed(session.rawValue)
        text(filter)
    }

    @inline(__always)
    mutating func key(received packetID: PacketID, of session: SessionNumber) {
        byte(RecordKind.received.rawValue)
        fixed(session.rawValue)
        fixed(packetID)
    }

    @inline(__always)
    mutating func key(message number: MessageNumber) {
        byte(RecordKind.message.rawValue)
        fixed(number.rawValue)
    }

    /// Sorts right behind its message.
    @inline(__always)
    mutating func key(delivery place: StoredPlace) {
        key(message: place.message)
        fixed(place.destination)
    }

    @inline(__always)
    mutating func key(retained topic: RawSpan) {
        byte(RecordKind.retained.rawValue)
        bytes(topic)
    }
}

/// Keys as arrays, for reads and scans.
enum RecordKey {
    static func session(_ name: SessionName) -> [UInt8] {
        RecordKind.session.prefix + (name.isOwn ? [0] : []) + Array(name.string.utf8)
    }

    static func subscriptions(of session: SessionNumber) -> [UInt8] {
        RecordKind.subscription.prefix + bigEndian(session.rawValue)
    }

    static func received(of session: SessionNumber) -> [UInt8] {
        RecordKind.received.prefix + bigEndian(session.rawValue)
    }

    static func message(_ number: MessageNumber) -> [UInt8] {
        RecordKind.message.prefix + bigEndian(number.rawValue)
    }

    static func delivery(_ place: StoredPlace) -> [UInt8] {
        message(place.message) + bigEndian(place.destination)
    }

    private static func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}

extension RecordReader {
    /// Reads the version that a record begins with.
    @discardableResult
    mutating func version(upTo latest: UInt8 = RecordVersion.current) throws(RecordProblem) -> UInt8 {
        let version = try byte()
        guard version > 0 else { throw .damaged("record version 0") }
        guard version <= latest else { throw .newer(version: version, latest: latest) }
        return version
    }
}
