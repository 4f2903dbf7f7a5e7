import NIOCore

/// Reads the fields of one packet off its bytes; every read checks that the bytes are there.
struct PacketReader {
    private(set) var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    /// Reads borrowed bytes, whose owner may be gone before the values read are.
    init(copying bytes: RawSpan) {
        buffer = bytes.withUnsafeBytes { ByteBuffer(bytes: $0) }
    }

    var isAtEnd: Bool { buffer.readableBytes == 0 }

    mutating func byte() throws(MalformedPacket) -> UInt8 {
        guard let value = buffer.readInteger(as: UInt8.self) else { throw Self.short }
        return value
    }

    mutating func twoByteInteger() throws(MalformedPacket) -> UInt16 {
        guard let value = buffer.readInteger(as: UInt16.self) else { throw Self.short }
        return value
    }

    mutating func fourByteInteger() throws(MalformedPacket) -> UInt32 {
        guard let value = buffer.readInteger(as: UInt32.self) else { throw Self.short }
        return value
    }

    /// MQTT 5.0 §1.5.5.
    mutating func variableByteInteger() throws(MalformedPacket) -> UInt32 {
        var value: UInt32 = 0
        for place: UInt32 in 0..<4 {
            let byte = try byte()
            value |= UInt32(byte & 0x7f) << (7 * place)
            guard byte & 0x80 == 0 else { continue }
            if byte == 0, place > 0 { throw .malformed("a length in more bytes than it needs [MQTT-1.5.5-1]") }
            return value
        }
        throw .malformed("a variable byte integer of more than four bytes")
    }

    /// A Packet Identifier [MQTT-2.2.1-3], [MQTT-2.2.1-4].
    mutating func packetID() throws(MalformedPacket) -> PacketID {
        let id = try twoByteInteger()
        guard id != 0 else { throw .protocolError("Packet Identifier 0") }
        return id
    }

    /// Two bytes of length and as many bytes, as a slice.
    mutating func binary() throws(MalformedPacket) -> ByteBuffer {
        guard let slice = buffer.readLengthPrefixedSlice(as: UInt16.self) else { throw Self.short }
        return slice
    }

    /// A UTF-8 Encoded String.
    mutating func string() throws(MalformedPacket) -> String {
        let slice = try binary()
        guard UTF8Text.isValid(slice.readableBytesSpan) else {
            throw UTF8Text.malformed
        }
        return String(buffer: slice)
    }

    /// User Properties that follow one another, of which the first one's identifier has been read.
    mutating func runOfUserProperties() throws(MalformedPacket) -> UserProperties {
        buffer.moveReaderIndex(to: buffer.readerIndex - 1)
        return try UserProperties(readingFrom: &buffer)
    }

    /// The rest of the packet, as a slice.
    mutating func rest() -> ByteBuffer {
        buffer.readSlice(length: buffer.readableBytes) ?? ByteBuffer()
    }

    /// As many bytes, as a reader of their own.
    mutating func part(_ length: Int) throws(MalformedPacket) -> PacketReader {
        guard let slice = buffer.readSlice(length: length) else { throw Self.short }
        return PacketReader(slice)
    }

    /// Nothing may follow what the packet's type asks for.
    func expectEnd() throws(MalformedPacket) {
        guard isAtEnd else { throw .malformed("\(buffer.readableBytes) bytes too many") }
    }

    static var short: MalformedPacket { .malformed("the packet ends inside a field") }
}

extension ByteBuffer {
    /// The same bytes in memory of their own: what is kept for long must not keep a whole packet, or all that came with
    /// it, in memory.
    var ofItsOwn: ByteBuffer { ByteBuffer(bytes: readableBytesView) }

    mutating func writeVariableByteInteger(_ value: Int) {
        var left = value
        repeat {
            let byte = UInt8(truncatingIfNeeded: left & 0x7f)
            left >>= 7
            writeInteger(left > 0 ? byte | 0x80 : byte)
        } while left > 0
    }

    static func variableByteIntegerLength(_ value: Int) -> Int {
        switch value {
        case ..<128: 1
        case ..<16_384: 2
        case ..<2_097_152: 3
        default: 4
        }
    }

    mutating func writeMQTTString(_ string: String) {
        writeInteger(UInt16(truncatingIfNeeded: string.utf8.count))
        writeString(string)
    }

    mutating func writeMQTTBinary(_ bytes: ByteBuffer) {
        writeInteger(UInt16(truncatingIfNeeded: bytes.readableBytes))
        writeImmutableBuffer(bytes)
    }
}
