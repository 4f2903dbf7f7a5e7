/// Addresses that were heard before, roughly: a device that is heard of once in a while is no stranger though it was
/// forgotten.
///
/// A table of fixed size in which a newer address takes an older one's place.
struct Acquaintances {
    private static let size = 1 << 18
    private var marks = [UInt32](repeating: 0, count: size)

    /// Whether the address was heard of before; from now on it was.
    mutating func meet(_ address: PeerAddress) -> Bool {
        let hash = UInt(bitPattern: address.hashValue)
        let place = Int(hash % UInt(Self.size))
        let mark = UInt32(truncatingIfNeeded: hash >> 32) | 1
        defer { marks[place] = mark }
        return marks[place] == mark
    }
}
