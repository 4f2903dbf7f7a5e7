/// The value of a Block1 or Block2 option (RFC 7959 §2.2).
package struct Block: Hashable, Sendable {
    /// 1,024 bytes, the largest block over UDP.
    static let largestExponent: UInt8 = 6
    /// Any number of 1,024 bytes, on connections alone (RFC 8323 §6).
    static let bertExponent: UInt8 = 7

    /// NUM: which block.
    package var number: UInt32
    /// M: more blocks follow.
    package var more: Bool
    /// SZX: of 0 to 6, a block has 2 to the power of it plus 4 bytes; 7 is BERT, and it has any number of 1,024 bytes.
    package var sizeExponent: UInt8

    package init(number: UInt32, more: Bool, sizeExponent: UInt8) {
        self.number = number
        self.more = more
        self.sizeExponent = sizeExponent
    }

    /// Reads an option's value; nil when it has over 3 bytes.
    package init?(_ value: RawSpan) {
        guard value.byteCount <= 3 else { return nil }
        let bits = UInt32(value.unsignedInteger)
        self.init(number: bits >> 4, more: bits & 8 != 0, sizeExponent: UInt8(bits & 7))
    }

    /// Whether it is of the kind that only connections have (RFC 8323 §6).
    package var isBERT: Bool { sizeExponent == Self.bertExponent }
    /// Bytes of a block, and what blocks are counted in.
    package var size: Int { 16 << Int(min(sizeExponent, Self.largestExponent)) }
    /// Whether a block may have so many bytes.
    package func allows(_ bytes: Int) -> Bool {
        if isBERT { return !more || bytes > 0 && bytes % size == 0 }
        return more ? bytes == size : bytes <= size
    }
    /// Where the block begins in the body, bytes.
    package var offset: Int { Int(number) * size }
    /// The option's value.
    package var value: UInt32 { number << 4 | (more ? 8 : 0) | UInt32(sizeExponent) }

    /// The largest block that has at most so many bytes; nil when not even 16.
    static func exponent(fitting bytes: Int) -> UInt8? {
        guard bytes >= 16 else { return nil }
        return min(largestExponent, UInt8((Int.bitWidth - 1 - bytes.leadingZeroBitCount) - 4))
    }
}

extension RawSpan {
    /// The bytes as an unsigned integer in network byte order; the first 8 of them (RFC 7252 §3.2).
    var unsignedInteger: UInt64 {
        var value: UInt64 = 0
        for offset in 0..<Swift.min(byteCount, 8) {
            value = value << 8 | UInt64(unsafeLoad(fromByteOffset: offset, as: UInt8.self))
        }
        return value
    }
}
