/// Topic Filters with wildcards that have more levels than a trie is walked for.
///
/// A topic can match `+` and its own label at each level, so the nodes that a walk visits may double with each level.
/// These filters are compared instead, 64 at a time (`FilterBlocks`): a match looks at one word for each level of each
/// block, whatever the filters look like. Those that begin with the same labels, up to their first wildcard, are
/// together, so that a topic meets only filters that begin as it does.
struct DeepFilters {
    private var beginnings: LevelTrie<FilterBlocks>
    private var labels: LabelNumbers
    private let hash: TopicHash
    /// Levels of the deepest filter there ever was.
    private var deepest = 0
    private var count = 0

    init(hash: TopicHash) {
        self.hash = hash
        beginnings = LevelTrie(hash: hash)
        labels = LabelNumbers(hash: hash)
    }

    var isEmpty: Bool { count == 0 }
    /// What a match costs at most that finds nothing, in visits: a filter's part in the words of its block.
    var effort: Int { count / 8 }

    /// What a filter holds; nil when there is no such filter.
    func node(at path: RawSpan) -> FilterNode? {
        guard let beginning = Beginning(of: path).node(in: beginnings) else { return nil }
        return beginnings[beginning]?.node(at: path, hash: hash(path))
    }

    /// What a filter holds, made when there is no such filter.
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

    /// Takes out a filter that nobody has any more.
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
        // One level more than any filter has is as good as any number of them.
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
        /// Their bytes with all their slashes; 0 when the first level is a wildcard.
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
