/// Topic Filters that are compared with a topic 64 at a time; see `DeepFilters`.
///
/// A block has one bit for each of its filters. For each level it knows the filters with a wildcard and the filters of
/// each label, so that a walk over the levels of a topic leaves the bits of the matching filters.
final class FilterBlocks {
    private struct Entry {
        let node: FilterNode
        let hash: UInt64
        let levels: [LabelNumber]
    }

    private static let size = UInt64.bitWidth

    /// Entry `n` is bit `n % 64` of block `n / 64`; there are no gaps.
    private var entries: ContiguousArray<Entry> = []
    private var blocks: ContiguousArray<Block> = []
    private var index = HashIndex()

    var isEmpty: Bool { entries.isEmpty }

    /// The node of a filter; nil when it is not here.
    func node(at path: RawSpan, hash: UInt64) -> FilterNode? {
        place(of: path, hash).map { entries[$0].node }
    }

    /// Adds a filter that is not here yet.
    ///
    /// - Parameter levels: the levels from the filter's first wildcard on.
    func append(_ node: FilterNode, hash: UInt64, _ levels: [LabelNumber]) {
        let place = entries.count
        entries.append(Entry(node: node, hash: hash, levels: levels))
        index.insert(hash, row: Int32(place))
        if place / Self.size == blocks.count { blocks.append(Block()) }
        blocks[place / Self.size].set(place % Self.size, levels)
    }

    /// Removes a filter; the last filter takes its position.
    ///
    /// - Returns: the levels from its first wildcard on; nil when it was not here.
    func remove(at path: RawSpan, hash: UInt64) -> [LabelNumber]? {
        guard let place = place(of: path, hash) else { return nil }
        let removed = entries[place]
        clear(place)
        let end = entries.count - 1
        if place < end {
            let last = entries[end]
            clear(end)
            entries[place] = last
            index.insert(last.hash, row: Int32(place))
            blocks[place / Self.size].set(place % Self.size, last.levels)
        }
        entries.removeLast()
        if end % Self.size == 0 { blocks.removeLast() }
        return removed.levels
    }

    private func clear(_ place: Int) {
        index.remove(entries[place].hash, row: Int32(place))
        blocks[place / Self.size].clear(place % Self.size, entries[place].levels)
    }

    private func place(of path: RawSpan, _ hash: UInt64) -> Int? {
        index.find(hash) { path.isEqual(to: entries[Int($0)].node.key) }.map(Int.init)
    }

    /// Calls `visit` with each filter that matches.
    func match(_ topic: ArraySlice<LabelNumber>, _ visit: (FilterNode) -> Void) {
        topic.withUnsafeBufferPointer { topic in
            for (number, block) in blocks.enumerated() {
                var matching = block.matching(topic)
                while matching != 0 {
                    visit(entries[number * Self.size + matching.trailingZeroBitCount].node)
                    matching &= matching - 1
                }
            }
        }
    }
}

/// Up to 64 filters, a bit each.
private struct Block {
    private struct Level {
        /// Filters that match any label at this level: `+`, and all levels after `#`.
        var any: UInt64
        /// One label and its filters, kept apart so that most look-ups end here.
        private var first = Labelled(number: .unknown, filters: 0)
        /// The other labels, in the order of their numbers.
        private var others: ContiguousArray<Labelled> = []

        init(any: UInt64) { self.any = any }

        @inline(__always)
        func filters(of number: LabelNumber) -> UInt64 {
            if first.number == number { return first.filters }
            if others.isEmpty { return 0 }
            let place = place(of: number)
            return place < others.count && others[place].number == number ? others[place].filters : 0
        }

        mutating func add(_ filters: UInt64, to number: LabelNumber) {
            if first.filters == 0 { first.number = number }
            guard first.number != number else {
                first.filters |= filters
                return
            }
            let place = place(of: number)
            if place < others.count, others[place].number == number {
                others[place].filters |= filters
            } else {
                others.insert(Labelled(number: number, filters: filters), at: place)
            }
        }

        mutating func remove(_ filters: UInt64, from number: LabelNumber) {
            guard first.number != number else {
                first.filters &= ~filters
                if first.filters == 0 { first = others.popLast() ?? Labelled(number: .unknown, filters: 0) }
                return
            }
            let place = place(of: number)
            others[place].filters &= ~filters
            if others[place].filters == 0 { others.remove(at: place) }
        }

        private func place(of number: LabelNumber) -> Int {
            var low = 0
            var high = others.count
            while low < high {
                let middle = (low + high) / 2
                if others[middle].number < number { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    private struct Labelled {
        var number: LabelNumber
        var filters: UInt64
    }

    private var levels: ContiguousArray<Level> = []
    /// Filters that match a topic with exactly this number of levels.
    private var ends: ContiguousArray<UInt64> = [0]
    /// Filters with `#`.
    private var open: UInt64 = 0

    @inline(__always)
    func matching(_ topic: UnsafeBufferPointer<LabelNumber>) -> UInt64 {
        var matching = UInt64.max
        for place in 0..<min(topic.count, levels.count) {
            matching &= levels[place].any | levels[place].filters(of: topic[place])
            if matching == 0 { return 0 }
        }
        return matching & (topic.count < ends.count ? ends[topic.count] : open)
    }

    mutating func set(_ bit: Int, _ filter: [LabelNumber]) {
        let filters: UInt64 = 1 << UInt64(bit)
        let isOpen = filter.last == .multiLevelWildcard
        let length = isOpen ? filter.count - 1 : filter.count
        while levels.count < length {
            levels.append(Level(any: open))
            ends.append(open)
        }
        for place in 0..<length {
            let number = filter[place]
            guard number != .singleLevelWildcard else {
                levels[place].any |= filters
                continue
            }
            levels[place].add(filters, to: number)
        }
        ends[length] |= filters
        guard isOpen else { return }
        open |= filters
        for place in length..<levels.count {
            levels[place].any |= filters
            ends[place + 1] |= filters
        }
    }

    mutating func clear(_ bit: Int, _ filter: [LabelNumber]) {
        let others: UInt64 = ~(1 << UInt64(bit))
        for place in levels.indices {
            levels[place].any &= others
            ends[place + 1] &= others
        }
        ends[0] &= others
        open &= others
        for (place, number) in filter.enumerated() where number.isLabel {
            levels[place].remove(~others, from: number)
        }
    }
}
