import DequeModule

/// What waits for batches to be written, each for its own, in whatever order it came.
///
/// There are two or three batches that anybody can wait for, so finding one's place is no search.
struct StoreWaiters {
    typealias Done = (_ isStored: Bool) -> Void

    /// In ascending order of the batches.
    private var groups: Deque<(batch: UInt64, waiting: [Done])> = []

    var isEmpty: Bool { groups.isEmpty }

    mutating func add(_ batch: UInt64, _ done: @escaping Done) {
        let place = groups.lastIndex { $0.batch <= batch }
        if let place, groups[place].batch == batch { return groups[place].waiting.append(done) }
        groups.insert((batch, [done]), at: place.map { $0 + 1 } ?? 0)
    }

    /// Takes out what waits for batches up to that one: the earlier batch first, in each who came first.
    mutating func take(through batch: UInt64 = .max) -> [Done] {
        var taken: [Done] = []
        while let first = groups.first, first.batch <= batch {
            taken += first.waiting
            groups.removeFirst()
        }
        return taken
    }
}
