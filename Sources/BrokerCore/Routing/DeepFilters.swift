/// Topic Filters with wildcards that have too many levels for the trie.
///
/// A topic can match `+` and its own label at each level, so the nodes that a walk visits may double with each level.
/// These filters are compared instead, 64 at a time (`FilterBlocks`): a match reads one word for each level of each
/// block, for any filters. Filters with the same labels before their first wildcard are in the same blocks, so that a
/// topic is compared only with filters that begin with its own labels.
struct DeepFilters {
    private var beginnings: LevelTrie<FilterBlocks>
    private var labels: LabelNumbers
    private let hash: TopicHash
    /// Levels of the deepest filter that was ever added.
    private var deepest = 0
    private var count = 0

    init(hash: TopicHash) {
        self.hash = hash
        beginnings = LevelTrie(hash: hash)
        labels = LabelNumbers(hash: hash)
    }

    var isEmpty: Bool { count == 0 }
    /// The highest cost in visits of a match that finds nothing: each filter's part of its block's words.
    var effort: Int { count / 8 }

    /// The node of a filter; nil when there is no such filter.
    func node(at path: RawSpan) -> FilterNode? {
        guard let beginning = Beginning(of: path).node(in: beginnings) else { return nil }
        return beginnings[beginning]?.node(at: path, hash: hash(path))
    }

    /// The node of a filter, which is made when it is missing.
    mutating func makeNode(at path: RawSpan) -> FilterNode {
        let beginning = Beginning(of: path)
        let place = beginning.makeNode(in: &beginnings)
        let blocks = beginnings[place] ?? FilterBlocks()
        beginnings[place] = blocks
        let pathHash = hash(path)
        if let there = blocks.node(at: path, hash: pathHash) { return there }
        let made = FilterNode(key: path.withUnsafeBytes { [UInt8]($0) })
        var levels: [LabelNumber] = []
        var rest = TopicLevels(after: beginning.bytes)
        while let range = rest.next(in: path) { levels.append(labels.retain(path.extracting(range))) }
        blocks.append(made, hash: pathHash, levels)
        deepest = max(deepest, beginning.levels + levels.count)
        count += 1
        return made
    }

    /// Removes a filter without subscriptions.
    mutating func remove(at path: RawSpan) {
        guard let place = Beginning(of: path).node(in: beginnings), let blocks = beginnings[place],
            let levels = blocks.remove(at: path, hash: hash(path))
        else { return }
        for label in levels { labels.release(label) }
        count -= 1
        guard blocks.isEmpty else { return }
        beginnings[place] = nil
        beginnings.removeIfUnused(place)
    }

    /// Calls `visit` with each filter that matches, in no order.
    ///
    /// - Parameter isReserved: the topic begins with `$`, which no wildcard at the first level matches [MQTT-4.7.2-1].
    func match(_ topic: RawSpan, isReserved: Bool, _ visit: (FilterNode) -> Void) {
        // One level more than the deepest filter is enough to see that the topic is deeper.
        let numbers = labels.numbers(of: topic, atMost: deepest + 1)
        var node = LevelTrie<FilterBlocks>.root
        var depth = 0
        var levels = TopicLevels()
        while true {
            if let blocks = beginnings[node], depth > 0 || !isReserved { blocks.match(numbers[depth...], visit) }
            guard let range = levels.next(in: topic),
                let next = beginnings.child(of: node, label: topic.extracting(range))
            else { return }
            node = next
            depth += 1
        }
    }
}

extension DeepFilters {
    /// The levels of a filter before its first wildcard.
    private struct Beginning {
        /// The bytes of these levels and their slashes; 0 when the first level is a wildcard.
        var bytes = 0
        var levels = 0
        private let path: [UInt8]

        init(of path: RawSpan) {
            var rest = TopicLevels()
            while let range = rest.next(in: path), !path.isWildcard(range) {
                bytes = range.upperBound + 1
                levels += 1
            }
            let end = max(bytes - 1, 0)
            self.path = path.extracting(0..<end).withUnsafeBytes { [UInt8]($0) }
        }

        func node(in trie: LevelTrie<FilterBlocks>) -> LevelTrie<FilterBlocks>.Node? {
            levels == 0 ? LevelTrie<FilterBlocks>.root : trie.node(at: path.span.bytes)
        }

        func makeNode(in trie: inout LevelTrie<FilterBlocks>) -> LevelTrie<FilterBlocks>.Node {
            levels == 0 ? LevelTrie<FilterBlocks>.root : trie.makeNode(at: path.span.bytes)
        }
    }
}

extension RawSpan {
    fileprivate func isWildcard(_ level: Range<Int>) -> Bool {
        guard level.count == 1 else { return false }
        let byte = unsafeLoad(fromByteOffset: level.lowerBound, as: UInt8.self)
        return byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#")
    }
}
