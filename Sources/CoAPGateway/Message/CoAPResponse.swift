package import BrokerCore

/// A response or notification before it has a type, Message ID and token; sans I/O.
package struct CoAPResponse: Sendable {
    /// What it carries after its options.
    package enum Payload: Sendable {
        case none
        case text(String)
        /// A part of a message's payload, bytes.
        case part(Message, Range<Int>)
    }

    package var code: CoAPCode
    package var eTag: UInt64?
    /// The sequence number of a notification, 24 bits (RFC 7641 §3.4).
    package var observe: UInt32?
    package var locationPath: [String] = []
    package var contentFormat: UInt16?
    /// Seconds.
    package var maxAge: UInt32?
    package var block1: Block?
    package var block2: Block?
    package var size2: Int?
    package var size1: Int?
    /// What the client is to send back (RFC 9175 §2.2).
    package var echo: [UInt8]?
    package var payload = Payload.none
    /// What it has to fit into.
    var room = MessageRoom.datagram

    package init(_ code: CoAPCode) { self.code = code }

    /// Bytes of payload.
    package var payloadLength: Int {
        switch payload {
        case .none: 0
        case .text(let text): text.utf8.count
        case .part(_, let range): range.count
        }
    }

    /// Whether it has neither options nor a payload.
    package var isBare: Bool {
        guard case .none = payload else { return false }
        return eTag == nil && observe == nil && locationPath.isEmpty && contentFormat == nil && maxAge == nil
            && block1 == nil && block2 == nil && size1 == nil && size2 == nil && echo == nil
    }

    /// Whether it lives on a message, and so should not be kept for longer than needed.
    var holdsMessage: Bool {
        if case .part = payload { return true }
        return false
    }

    /// Lends the payload's bytes.
    package func withPayload<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch payload {
        case .none: body(UnsafeRawBufferPointer(start: nil, count: 0))
        case .text(let text): text.utf8Span.span.bytes.withUnsafeBytes(body)
        case .part(let message, let range):
            message.withBytes { _, payload in payload.extracting(range).withUnsafeBytes(body) }
        }
    }

    /// Writes the options in ascending order.
    package func write(to options: inout OptionWriter) {
        guard !isBare else { return }
        if let eTag { options.add(OptionNumber.eTag, withUnsafeBytes(of: eTag.bigEndian) { [UInt8]($0) }) }
        if let observe { options.add(OptionNumber.observe, UInt64(observe)) }
        for segment in locationPath { options.add(OptionNumber.locationPath, Array(segment.utf8)) }
        if let contentFormat { options.add(OptionNumber.contentFormat, UInt64(contentFormat)) }
        if let maxAge { options.add(OptionNumber.maxAge, UInt64(maxAge)) }
        if let block2 { options.add(OptionNumber.block2, UInt64(block2.value)) }
        if let block1 { options.add(OptionNumber.block1, UInt64(block1.value)) }
        if let size2 { options.add(OptionNumber.size2, UInt64(size2)) }
        if let size1 { options.add(OptionNumber.size1, UInt64(size1)) }
        if let echo { options.add(OptionNumber.echo, echo) }
    }

    /// Bytes of payload that fit beside these options into a datagram (RFC 7252 §4.6), with a token and a Block2, Size2
    /// and ETag option to come.
    var roomForPayload: Int {
        var options = OptionWriter()
        write(to: &options)
        return largestMessage - 4 - 8 - 1 - 24 - options.encodedLength
    }

    /// Bytes of the message without its token, or a few more.
    package var size: Int {
        guard !isBare else { return 5 }
        var options = OptionWriter()
        write(to: &options)
        return 5 + options.bytes.count + options.entries.count * 2 + payloadLength
    }

    /// Bytes of the message as it is sent, without its token.
    package var encodedLength: Int {
        guard !isBare else { return 4 }
        var options = OptionWriter()
        write(to: &options)
        return 4 + options.exactLength + (payloadLength > 0 ? 1 + payloadLength : 0)
    }

    /// Whether its peer may get so little that what need not be there is left out.
    var isTight: Bool { if case .unproven = room { true } else { false } }

    /// Bytes the peer takes.
    var largestMessage: Int { if case .connection(let bytes) = room { bytes } else { Self.largestMessage } }
    /// Bytes of payload that are sent without a Block2 option unless the client asks for one.
    var largestPayload: Int { if case .connection(let bytes) = room { bytes } else { Self.largestPayload } }

    /// Bytes; the IPv6 minimum MTU less its headers, as RFC 7252 §4.6 has it.
    package static let largestMessage = 1_152
    /// Bytes of payload that fit into a datagram in any network.
    static let largestPayload = 1_024
}

/// What a message has to fit into.
package enum MessageRoom: Sendable, Equatable {
    /// A datagram that passes every network.
    case datagram
    /// A message on a connection, bytes (RFC 8323 §5.3.1).
    case connection(Int)
    /// What may be sent to an address that may be another's: bytes without the token.
    case unproven(Int)
}

/// Gathers options: their values in one buffer, a place each.
package struct OptionWriter {
    struct Entry {
        let number: UInt16
        let range: Range<Int>
    }

    private(set) var bytes: [UInt8] = []
    private(set) var entries: [Entry] = []

    package init() {}

    /// Begins anew, in the memory it has.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
    }

    /// Adds one; in ascending order of the numbers.
    package mutating func add(_ number: UInt16, _ value: [UInt8]) {
        let start = bytes.count
        bytes += value
        entries.append(Entry(number: number, range: start..<bytes.count))
    }

    /// In as few bytes as it takes, 0 in none (RFC 7252 §3.2).
    package mutating func add(_ number: UInt16, _ value: UInt64) {
        let start = bytes.count
        var shift = (UInt64.bitWidth - value.leadingZeroBitCount + 7) / 8 * 8
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
        entries.append(Entry(number: number, range: start..<bytes.count))
    }

    /// Bytes the options take on the wire (RFC 7252 §3.1).
    var exactLength: Int {
        func extended(_ value: Int) -> Int { value < 13 ? 0 : value < 269 ? 1 : 2 }
        var last = 0
        return entries.reduce(0) { length, entry in
            let delta = Int(entry.number) - last
            last = Int(entry.number)
            return length + 1 + extended(delta) + extended(entry.range.count) + entry.range.count
        }
    }

    /// Bytes the options take at most on the wire.
    var encodedLength: Int { bytes.count + entries.count * 5 }
}
