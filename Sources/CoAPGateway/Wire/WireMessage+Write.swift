import CLibcoap

// Messages are put together where they leave from: libcoap encodes the options in place, and what it writes only while it
// sends, the head and the token, is ours.
extension WireMessage {
    /// Bytes of a frame before its options, at most (RFC 8323 §3.2).
    private static var longestFrameHead: Int { 1 + 4 + 1 + longestToken }

    /// Writes a datagram.
    ///
    /// - Returns: its length; nil when there is not enough room.
    package static func write(
        _ kind: Kind,
        _ code: CoAPCode,
        messageID: UInt16,
        _ token: Token,
        _ options: OptionWriter,
        payload: UnsafeRawBufferPointer,
        into room: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let head = 4 + Int(token.length)
        guard room.count >= head else { return nil }
        room[0] = 1 << 6 | kind.rawValue << 4 | token.length
        room[1] = code.rawValue
        room.storeBytes(of: messageID.bigEndian, toByteOffset: 2, as: UInt16.self)
        token.withBytes { UnsafeMutableRawBufferPointer(rebasing: room[4...]).copyMemory(from: $0) }
        return writeBody(options, payload, into: UnsafeMutableRawBufferPointer(rebasing: room[head...])).map {
            head + $0
        }
    }

    /// Writes a message of a connection; its head, which tells its length, goes right before what is written first.
    ///
    /// - Returns: where in `room` it stands; nil when there is not enough room.
    package static func writeFrame(
        _ code: CoAPCode,
        _ token: Token,
        _ options: OptionWriter,
        payload: UnsafeRawBufferPointer,
        into room: UnsafeMutableRawBufferPointer
    ) -> Range<Int>? {
        let body = longestFrameHead
        guard room.count >= body else { return nil }
        guard let length = writeBody(options, payload, into: UnsafeMutableRawBufferPointer(rebasing: room[body...])),
            let (nibble, extended, size) = frameLength(length)
        else { return nil }
        let start = body - Int(token.length) - 1 - size - 1
        var place = start
        func put(_ byte: UInt8) {
            room[place] = byte
            place += 1
        }
        put(nibble << 4 | token.length)
        for shift in stride(from: 8 * (size - 1), through: 0, by: -8) {
            put(UInt8(truncatingIfNeeded: extended >> shift))
        }
        put(code.rawValue)
        token.withBytes { for byte in $0 { put(byte) } }
        return start..<body + length
    }

    /// The length of options and payload as a frame tells it: four bits, and an extension of so many bytes.
    private static func frameLength(_ length: Int) -> (nibble: UInt8, extended: Int, size: Int)? {
        switch length {
        case 0..<13: (UInt8(length), 0, 0)
        case 13..<269: (13, length - 13, 1)
        case 269..<65_805: (14, length - 269, 2)
        case 65_805...Int(UInt32.max): (15, length - 65_805, 4)
        default: nil
        }
    }

    /// Writes options and payload.
    ///
    /// - Returns: bytes; nil when there is not enough room.
    private static func writeBody(
        _ options: OptionWriter,
        _ payload: UnsafeRawBufferPointer,
        into room: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var length = 0
        if !options.entries.isEmpty {
            guard let encoded = encode(options, into: room) else { return nil }
            length = encoded
        }
        guard !payload.isEmpty else { return length }
        guard room.count - length > payload.count else { return nil }
        room[length] = payloadMarker
        UnsafeMutableRawBufferPointer(rebasing: room[(length + 1)...]).copyMemory(from: payload)
        return length + 1 + payload.count
    }

    private static func encode(_ options: OptionWriter, into room: UnsafeMutableRawBufferPointer) -> Int? {
        let start = room.bindMemory(to: UInt8.self).baseAddress
        var length = 0
        var last: UInt16 = 0
        return options.bytes.withUnsafeBufferPointer { values in
            for entry in options.entries {
                let size = coap_opt_encode(
                    start.map { $0 + length },
                    room.count - length,
                    entry.number - last,
                    values.baseAddress.map { $0 + entry.range.lowerBound },
                    entry.range.count
                )
                guard size > 0 else { return nil }
                length += size
                last = entry.number
            }
            return length
        }
    }
}
