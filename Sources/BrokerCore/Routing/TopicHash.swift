/// Hashes topics and their levels, seeded for each process so that a client cannot produce collisions.
///
/// Equality is always verified on the bytes; a collision costs a comparison, never a wrong match.
struct TopicHash: Sendable {
    private let seed: UInt64

    init(seed: UInt64 = UInt64.random(in: .min ... .max)) { self.seed = seed | 1 }

    /// Hashes eight bytes at a time, each with a 128-bit product.
    @inline(__always)
    func callAsFunction(_ bytes: RawSpan) -> UInt64 {
        let count = bytes.byteCount
        var state = seed ^ (UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15)
        var offset = 0
        while offset &+ 8 <= count {
            state = Self.fold(
                state ^ bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
            )
            offset &+= 8
        }
        var tail: UInt64 = 0
        while offset < count {
            tail = tail << 8 | UInt64(bytes.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self))
            offset &+= 1
        }
        return Self.fold(state ^ tail ^ seed)
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xa076_1d64_78bd_642f)
        return product.high ^ product.low
    }
}

extension RawSpan {
    /// A digest of the bytes, which costs little more than a copy.
    ///
    /// - Parameter seed: the same bytes have the same digest under the same seed.
    package func digest(seed: UInt64) -> UInt64 { TopicHash(seed: seed)(self) }

    /// Whether the bytes are the same.
    @inline(__always)
    func isEqual(to other: [UInt8]) -> Bool {
        guard byteCount == other.count else { return false }
        return other.withUnsafeBytes { isEqual(toUnsafe: $0) }
    }

    @inline(__always)
    private func isEqual(toUnsafe other: UnsafeRawBufferPointer) -> Bool {
        withUnsafeBytes { own in
            var offset = 0
            while offset &+ 8 <= own.count {
                let word = own.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                if word != other.loadUnaligned(fromByteOffset: offset, as: UInt64.self) { return false }
                offset &+= 8
            }
            while offset < own.count {
                if own[offset] != other[offset] { return false }
                offset &+= 1
            }
            return true
        }
    }
}
