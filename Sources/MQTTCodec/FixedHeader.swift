import NIOCore

/// The first bytes of every packet (MQTT 5.0 §2.1).
package struct FixedHeader: Sendable, Equatable {
    package let type: PacketType
    /// The low four bits of the first byte.
    package let flags: UInt8
    /// Bytes of the fixed header itself, 2 to 5.
    package let headerLength: Int
    /// Bytes that follow it.
    package let remainingLength: Int

    /// Bytes of the whole packet.
    package var packetLength: Int { headerLength + remainingLength }

    /// Reads the header at the front of `bytes`.
    ///
    /// - Parameter version: MQTT 5.0 forbids a Remaining Length in more bytes than it needs [MQTT-1.5.5-1]; 3.1.1 does not.
    /// - Returns: nil when more bytes are needed to tell.
    /// - Throws: on the reserved type 0, flags the type forbids, an over-long Remaining Length, and a packet larger
    ///   than `maximumPacketSize` bytes.
    @inline(__always)
    package static func parse(
        _ bytes: RawSpan,
        maximumPacketSize: Int,
        version: ProtocolVersion = .v5
    ) throws(MalformedPacket) -> FixedHeader? {
        guard bytes.byteCount >= 2 else { return nil }
        let first = bytes.unsafeLoad(fromUncheckedByteOffset: 0, as: UInt8.self)
        let second = bytes.unsafeLoad(fromUncheckedByteOffset: 1, as: UInt8.self)
        guard let type = PacketType(rawValue: first >> 4) else { throw .malformed("packet type 0 is reserved") }
        let flags = first & 0x0f
        if let required = type.requiredFlags, flags != required {
            throw .malformed("the reserved flags of the fixed header are \(flags) [MQTT-2.1.3-1]")
        }
        var header = FixedHeader(type: type, flags: flags, headerLength: 2, remainingLength: Int(second))
        if second >= 0x80 {
            guard let long = try longLength(bytes, version) else { return nil }
            header = FixedHeader(type: type, flags: flags, headerLength: 1 + long.bytes, remainingLength: long.value)
        }
        guard header.packetLength <= maximumPacketSize else {
            throw MalformedPacket(
                .packetTooLarge,
                "a packet of \(header.packetLength) bytes; the maximum is \(maximumPacketSize)"
            )
        }
        return header
    }

    /// A Remaining Length of more than one byte (MQTT 5.0 §1.5.5).
    private static func longLength(
        _ bytes: RawSpan,
        _ version: ProtocolVersion
    ) throws(MalformedPacket) -> (value: Int, bytes: Int)? {
        var value = 0
        for place in 0..<4 {
            guard place + 1 < bytes.byteCount else { return nil }
            let byte = bytes.unsafeLoad(fromByteOffset: place + 1, as: UInt8.self)
            value |= Int(byte & 0x7f) << (7 * place)
            guard byte & 0x80 == 0 else { continue }
            if byte == 0, place > 0, version == .v5 { throw longerThanNeeded }
            return (value, place + 1)
        }
        throw .malformed("a Remaining Length of more than four bytes")
    }

    /// Refuses what a CONNECT that turns out to be of MQTT 5.0 begins with.
    func checkLength() throws(MalformedPacket) {
        guard headerLength == 1 + ByteBuffer.variableByteIntegerLength(remainingLength) else {
            throw Self.longerThanNeeded
        }
    }

    private static var longerThanNeeded: MalformedPacket {
        .malformed("a length in more bytes than it needs [MQTT-1.5.5-1]")
    }
}
