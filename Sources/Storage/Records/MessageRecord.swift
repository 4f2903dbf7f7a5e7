import BrokerCore
import MQTTCodec
import NIOCore

private enum DestinationFlags {
    static let qos: UInt8 = 0x03
    static let retain: UInt8 = 0x04
    static let identifiers: UInt8 = 0x08
    static let share: UInt8 = 0x10
    static let state: UInt8 = 0x60
    static let stateShift: UInt8 = 5
    static let all: UInt8 = 0x7f
}

extension DeliveryState {
    /// Stands for it in records.
    @inline(__always)
    fileprivate var number: UInt8 {
        switch self {
        case .queued: 0
        case .published: 1
        case .released: 2
        case .done: 3
        }
    }

    @inline(__always)
    fileprivate var packetID: PacketID? {
        switch self {
        case .published(let packetID), .released(let packetID): packetID
        case .queued, .done: nil
        }
    }

    fileprivate init(number: UInt8, _ value: inout RecordReader) throws(RecordProblem) {
        switch number {
        case 0: self = .queued
        case 1: self = .published(try Self.packetID(&value))
        case 2: self = .released(try Self.packetID(&value))
        case 3: self = .done
        default: throw .damaged("delivery state \(number)")
        }
    }

    private static func packetID(_ value: inout RecordReader) throws(RecordProblem) -> PacketID {
        let packetID = try value.fixed(PacketID.self)
        guard packetID != 0 else { throw .damaged("Packet Identifier 0") }
        return packetID
    }

    /// The record of a delivery whose state has changed.
    init(_ value: inout RecordReader) throws(RecordProblem) {
        try value.version()
        try self.init(number: try value.byte(), &value)
        try value.expectEnd()
    }
}

extension RecordWriter {
    /// The value of a message: header, destinations, contents.
    @inline(__always)
    mutating func value(
        _ message: Message,
        _ destinations: ArraySlice<StoredDestination>,
        _ clock: ClockReading
    ) {
        let properties = message.properties
        header(message, properties, clock)
        compact(UInt64(destinations.count))
        for destination in destinations { value(destination) }
        message.withBytes { topic, payload in
            sized(topic)
            if let properties { sized(properties.values.encoded.readableBytesSpan) }
            bytes(payload)
        }
    }

    @inline(__always)
    private mutating func value(_ destination: StoredDestination) {
        var flags = destination.qos.rawValue | destination.state.number << DestinationFlags.stateShift
        if destination.retain { flags |= DestinationFlags.retain }
        if !destination.identifiers.isEmpty { flags |= DestinationFlags.identifiers }
        if destination.share != nil { flags |= DestinationFlags.share }
        byte(flags)
        compact(destination.session.rawValue)
        compact(destination.sequence)
        if let packetID = destination.state.packetID { fixed(packetID) }
        if !destination.identifiers.isEmpty {
            compact(UInt64(destination.identifiers.count))
            for identifier in destination.identifiers { compact(UInt64(identifier)) }
        }
        if let share = destination.share { sizedText(share) }
    }

    /// The value of a delivery whose state has changed.
    mutating func value(_ state: DeliveryState) {
        byte(RecordVersion.current)
        byte(state.number)
        if let packetID = state.packetID { fixed(packetID) }
    }
}

extension StoredDestination {
    fileprivate init(_ value: inout RecordReader) throws(RecordProblem) {
        let flags = try value.byte()
        guard flags & ~DestinationFlags.all == 0, let qos = QoS(rawValue: flags & DestinationFlags.qos) else {
            throw .damaged("unknown flags of a destination")
        }
        let session = SessionNumber(rawValue: try value.compact())
        let sequence = try value.compact()
        let state = try DeliveryState(
            number: (flags & DestinationFlags.state) >> DestinationFlags.stateShift,
            &value
        )
        var identifiers: [UInt32] = []
        if flags & DestinationFlags.identifiers != 0 {
            // A damaged count must not make an array of a billion places.
            for _ in 0..<(try value.compact32()) { identifiers.append(try value.compact32()) }
        }
        self.init(
            session: session,
            sequence: sequence,
            qos: qos,
            retain: flags & DestinationFlags.retain != 0,
            identifiers: identifiers,
            share: flags & DestinationFlags.share != 0 ? try value.sizedText() : nil,
            state: state
        )
    }

    /// Goes past one that is not asked for.
    fileprivate static func skip(_ value: inout RecordReader) throws(RecordProblem) {
        let flags = try value.byte()
        _ = try value.compact()
        _ = try value.compact()
        let state = (flags & DestinationFlags.state) >> DestinationFlags.stateShift
        if state == 1 || state == 2 { _ = try value.bytes(2) }
        if flags & DestinationFlags.identifiers != 0 {
            for _ in 0..<(try value.compact32()) { _ = try value.compact() }
        }
        if flags & DestinationFlags.share != 0 { _ = try value.sized() }
    }
}

extension RecoveredMessage {
    /// Reads all but the contents.
    init(_ number: MessageNumber, _ value: inout RecordReader, _ clock: ClockReading) throws(RecordProblem) {
        let header = try MessageHeader(&value, clock)
        var destinations: [StoredDestination] = []
        for _ in 0..<(try value.compact32()) { destinations.append(try StoredDestination(&value)) }
        let contents = try MessageContents(&value, header)
        self.init(
            number: number,
            cost: try contents.cost,
            expiresAt: header.expiresAt,
            destinations: destinations
        )
    }
}

extension LoadedMessage {
    /// Reads a message with one of its destinations.
    ///
    /// - Parameter state: what has become of the delivery since; nil if nothing has.
    init(
        _ value: inout RecordReader,
        destination place: UInt32,
        state: DeliveryState?,
        _ clock: ClockReading
    ) throws(RecordProblem) {
        let header = try MessageHeader(&value, clock)
        let count = try value.compact32()
        guard place < count else { throw .damaged("it has no destination \(place)") }
        for _ in 0..<place { try StoredDestination.skip(&value) }
        var destination = try StoredDestination(&value)
        for _ in (place + 1)..<count { try StoredDestination.skip(&value) }
        if let state { destination.state = state }
        let contents = try MessageContents(&value, header)
        self.init(message: try contents.message(header), destination: destination)
    }
}
