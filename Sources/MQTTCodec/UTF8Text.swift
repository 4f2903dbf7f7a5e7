/// UTF-8 Encoded Strings (MQTT 5.0 §1.5.4).
enum UTF8Text {
    /// What is wrong with bytes that are none.
    static var malformed: MalformedPacket {
        .malformed("a string that is not well-formed UTF-8 without U+0000 [MQTT-1.5.4-1]")
    }

    /// Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms) without U+0000
    /// [MQTT-1.5.4-1], [MQTT-1.5.4-2].
    static func isValid(_ bytes: RawSpan) -> Bool {
        var offset = 0
        let count = bytes.byteCount
        while offset < count {
            let lead = bytes.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
            guard lead >= 0x80 else {
                if lead == 0 { return false }
                offset &+= 1
                continue
            }
            let length = sequenceLength(bytes, at: offset, lead: lead)
            guard length > 0 else { return false }
            offset &+= length
        }
        return true
    }

    /// The length of a multi-byte sequence (RFC 3629 §4); 0 when it is ill-formed.
    private static func sequenceLength(_ bytes: RawSpan, at offset: Int, lead: UInt8) -> Int {
        let length: Int
        let second: ClosedRange<UInt8>
        switch lead {
        case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
        case 0xe0: (length, second) = (3, 0xa0...0xbf)
        case 0xed: (length, second) = (3, 0x80...0x9f)
        case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
        case 0xf0: (length, second) = (4, 0x90...0xbf)
        case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
        case 0xf4: (length, second) = (4, 0x80...0x8f)
        default: return 0
        }
        guard offset + length <= bytes.byteCount else { return 0 }
        guard second.contains(bytes.unsafeLoad(fromByteOffset: offset + 1, as: UInt8.self)) else { return 0 }
        for next in 2..<max(length, 2)
        where !(0x80...0xbf).contains(bytes.unsafeLoad(fromByteOffset: offset + next, as: UInt8.self)) { return 0 }
        return length
    }
}
