import DequeModule

/// The callbacks that wait for batches to be written, in any order of the batches.
///
/// There are at most two or three pending batches, so finding one is no search.
struct StoreWaiters {
    typealias Done = (_ isStored: Bool) -> Void

    /// The callbacks in ascending order of their batches.
    private var groups: Deque<(batch: UInt64, waiting: [Done])> = []

    var isEmpty: Bool { groups.isEmpty }

    mutating func add(_ batch: UInt64, _ done: @escaping Done) {
        let place = groups.lastIndex { $0.batch <= batch }
        if let place, groups[place].batch == batch { return groups[place].waiting.append(done) }
        groups.insert((batch, [done]), at: place.map { $0 + 1 } ?? 0)
    }

    /// Removes and returns the callbacks for batches up to that one: batch by batch, each in the order in which they
    /// were added.
    mutating func take(through batch: UInt64 = .max) -> [Done] {
        var taken: [Done] = []
        while let first = groups.first, first.batch <= batch {
            taken += first.waiting
            groups.removeFirst()
        }
        return taken
    }
}
