package import NIOCore

/// What was done under keys that clients have named, for the time in which it may be asked for again.
///
/// What is under way is never forgotten. Of what is done, the oldest gives way: of the same holder where it has its share,
/// or more than most, so that nobody makes the broker forget what others have done.
package struct OnceKeys<Key: Hashable & Sendable, Note: Sendable, Answer: Sendable>: Sendable {
    package struct Entry: Sendable {
        /// What is to be known while it is under way.
        package var note: Note
        /// nil while it is under way.
        package fileprivate(set) var answer: Answer?
        fileprivate let holder: Holder
        fileprivate var cost: Int
        fileprivate let expiresAt: NIODeadline
    }

    /// Bytes of an entry besides what its key and answer say.
    private static var overhead: Int { 512 }

    private var entries: [Key: Entry] = [:]
    /// Those that are done, the oldest first, and those of each holder.
    private var order = UseOrder<Key>()
    private var orders: [Holder: UseOrder<Key>] = [:]
    private var keys: Quota
    private var bytes: Quota
    private let lifetime: TimeAmount

    /// - Parameters:
    ///   - lifetime: how long a key is remembered.
    ///   - keys: how many are.
    ///   - bytes: bytes of keys and answers.
    package init(lifetime: TimeAmount, keys: Quota.Limit, bytes: Quota.Limit) {
        self.lifetime = lifetime
        self.keys = Quota(keys)
        self.bytes = Quota(bytes)
    }

    /// Keys remembered, and the bytes they take.
    package var count: Int { entries.count }
    package var bytesUsed: Int { bytes.used }

    /// What is known of a key.
    package mutating func entry(of key: Key, at now: NIODeadline) -> Entry? {
        while let oldest = order.first(), let entry = entries[oldest], entry.expiresAt <= now { forget(oldest) }
        guard let entry = entries[key] else { return nil }
        guard entry.answer == nil || entry.expiresAt > now else {
            forget(key)
            return nil
        }
        return entry
    }

    /// Something nobody knows of is under way.
    ///
    /// - Parameter cost: bytes of the key.
    package mutating func begin(_ key: Key, _ note: Note, cost: Int, for holder: Holder, at now: NIODeadline) {
        forget(key)
        let cost = cost + Self.overhead
        keys.add(1, for: holder)
        bytes.add(cost, for: holder)
        entries[key] = Entry(note: note, answer: nil, holder: holder, cost: cost, expiresAt: now + lifetime)
        makeRoom(for: holder)
    }

    /// Changes what is to be known of something under way.
    package mutating func update(_ key: Key, _ change: (inout Note) -> Void) {
        guard var entry = entries.removeValue(forKey: key) else { return }
        change(&entry.note)
        entries[key] = entry
    }

    /// It is done.
    ///
    /// - Parameter cost: bytes of the answer.
    package mutating func finish(_ key: Key, _ answer: Answer, cost: Int) {
        guard let entry = entries[key], entry.answer == nil else { return }
        entries[key]?.answer = answer
        entries[key]?.cost += cost
        bytes.add(cost, for: entry.holder)
        order.use(key)
        orders[entry.holder, default: UseOrder()].use(key)
        // Who waits for the answer is told it now.
        makeRoom(for: entry.holder, keeping: key)
    }

    /// Nothing is known of a key any more: it came to nothing, and may be tried again.
    package mutating func forget(_ key: Key) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        keys.giveBack(for: entry.holder)
        bytes.giveBack(entry.cost, for: entry.holder)
        guard entry.answer != nil else { return }
        order.remove(key)
        orders[entry.holder]?.remove(key)
        if orders[entry.holder]?.isEmpty ?? false { orders[entry.holder] = nil }
    }

    private mutating func makeRoom(for holder: Holder, keeping newest: Key? = nil) {
        while let refusal = keys.refusal(of: 0, for: holder) ?? bytes.refusal(of: 0, for: holder) {
            // Where all have all of it, who has more than most gives way to himself.
            let own = orders[holder]?.count ?? 0
            let isOwn = refusal != .exhausted || own * orders.count > order.count
            guard let oldest = isOwn ? orders[holder]?.first() : order.first(), oldest != newest else { return }
            forget(oldest)
        }
    }
}
