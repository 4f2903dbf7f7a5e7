import DequeModule

/// Keys in the order of their last use, oldest first.
package struct UseOrder<Key: Hashable & Sendable>: Sendable {
    /// Uses, oldest first; only the newest use of a key counts.
    private var order: Deque<(key: Key, use: UInt64)> = []
    private var newest: [Key: UInt64] = [:]
    private var last: UInt64 = 0

    package init() {}

    package var isEmpty: Bool { newest.isEmpty }
    package var count: Int { newest.count }

    /// Moves a key to the end.
    package mutating func use(_ key: Key) {
        last += 1
        newest[key] = last
        order.append((key, last))
        // Removes outdated uses when they are more than half, so that removal takes constant time on average.
        if order.count > 2 * newest.count + 16 { order.removeAll { newest[$0.key] != $0.use } }
    }

    package mutating func remove(_ key: Key) {
        newest[key] = nil
        if newest.isEmpty { order = [] }
    }

    /// The first key.
    package mutating func first() -> Key? {
        while let (key, use) = order.first {
            if newest[key] == use { return key }
            order.removeFirst()
        }
        return nil
    }

    package mutating func popFirst() -> Key? {
        guard let key = first() else { return nil }
        order.removeFirst()
        newest[key] = nil
        return key
    }
}
