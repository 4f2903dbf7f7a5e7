package import NIOCore

/// The answers to requests under keys of the clients, for the time in which a request may be repeated.
///
/// A pending request is never forgotten. Of answered ones the oldest is forgotten: one of the same holder if its share
/// is used up or it has more than the average, so that no client makes the broker forget the answers of others.
package struct OnceKeys<Key: Hashable & Sendable, Note: Sendable, Answer: Sendable>: Sendable {
    package struct Entry: Sendable {
        /// The caller's note about a pending request.
        package var note: Note
        /// The answer; nil while the request is pending.
        package fileprivate(set) var answer: Answer?
        fileprivate let holder: Holder
        fileprivate var cost: Int
        fileprivate let expiresAt: NIODeadline
    }

    /// Bytes of an entry besides its key and answer.
    private static var overhead: Int { 512 }

    private var entries: [Key: Entry] = [:]
    /// The keys of answered requests, oldest first, of all and of each holder.
    private var order = UseOrder<Key>()
    private var orders: [Holder: UseOrder<Key>] = [:]
    private var keys: Quota
    private var bytes: Quota
    private let lifetime: TimeAmount

    /// - Parameters:
    ///   - lifetime: the time for which a key is remembered.
    ///   - keys: the number of keys.
    ///   - bytes: the bytes of keys and answers.
    package init(lifetime: TimeAmount, keys: Quota.Limit, bytes: Quota.Limit) {
        self.lifetime = lifetime
        self.keys = Quota(keys)
        self.bytes = Quota(bytes)
    }

    /// Keys remembered, and the bytes they take.
    package var count: Int { entries.count }
    package var bytesUsed: Int { bytes.used }

    /// The entry of a key.
    package mutating func entry(of key: Key, at now: NIODeadline) -> Entry? {
        while let oldest = order.first(), let entry = entries[oldest], entry.expiresAt <= now { forget(oldest) }
        guard let entry = entries[key] else { return nil }
        guard entry.answer == nil || entry.expiresAt > now else {
            forget(key)
            return nil
        }
        return entry
    }

    /// Adds a pending request.
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

    /// Changes the note of a pending request.
    package mutating func update(_ key: Key, _ change: (inout Note) -> Void) {
        guard var entry = entries.removeValue(forKey: key) else { return }
        change(&entry.note)
        entries[key] = entry
    }

    /// Adds the answer to a pending request.
    ///
    /// - Parameter cost: bytes of the answer.
    package mutating func finish(_ key: Key, _ answer: Answer, cost: Int) {
        guard let entry = entries[key], entry.answer == nil else { return }
        entries[key]?.answer = answer
        entries[key]?.cost += cost
        bytes.add(cost, for: entry.holder)
        order.use(key)
        orders[entry.holder, default: UseOrder()].use(key)
        // The client that waits for the answer gets it now.
        makeRoom(for: entry.holder, keeping: key)
    }

    /// Forgets a key: its request has failed, and may be tried again.
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
            // When the total is used up, a holder with more than the average loses an answer of its own.
            let own = orders[holder]?.count ?? 0
            let isOwn = refusal != .exhausted || own * orders.count > order.count
            guard let oldest = isOwn ? orders[holder]?.first() : order.first(), oldest != newest else { return }
            forget(oldest)
        }
    }
}
