import MQTTCodec

/// Finds the subscriptions that match a Topic Name.
///
/// Filters without wildcards, the great majority, are in a hash table and cost one look-up. Filters with wildcards are
/// in a `LevelTrie`, or in `DeepFilters` when they have more than `walkedLevels` levels. So a match visits
/// `nodesPerMatch` nodes at most, whatever filters other clients have, and one word for each level of 64 deep filters
/// that begin with the topic's own labels.
struct SubscriptionIndex {
    /// Levels of the longest filter in the trie.
    static let walkedLevels = 8
    /// Nodes of the trie that a match may visit: each node leads to at most two at the next level.
    static let nodesPerMatch = 1 << (walkedLevels + 1) - 1

    private var exact = HashIndex()
    private var exactNodes: ContiguousArray<FilterNode?> = []
    private var freeNodes: [Int32] = []
    private var wildcards: LevelTrie<FilterNode>
    private var deep: DeepFilters
    private let hash: TopicHash
    /// Subscriptions of all sessions.
    private(set) var count = 0
    /// Members of shared subscriptions among these.
    private(set) var sharedCount = 0
    /// Incremented by each change to a filter with wildcards, and by `outdate`: the route of any topic may have
    /// changed.
    private(set) var generation: UInt64 = 0

    init(hash: TopicHash) {
        self.hash = hash
        wildcards = LevelTrie(hash: hash)
        deep = DeepFilters(hash: hash)
    }

    /// Adds a subscription.
    mutating func insert(_ subscription: Subscription) {
        let filter = subscription.filter
        count += 1
        if filter.shareName != nil { sharedCount += 1 }
        let path = filter.filter.utf8Span.span.bytes
        guard filter.hasWildcards else { return makeExactNode(path).add(subscription) }
        generation &+= 1
        guard path.levelCount <= Self.walkedLevels else { return deep.makeNode(at: path).add(subscription) }
        let node = wildcards.makeNode(at: path)
        if let there = wildcards[node] {
            there.add(subscription)
        } else {
            let made = FilterNode(key: path.withUnsafeBytes { [UInt8]($0) })
            made.add(subscription)
            wildcards[node] = made
        }
    }

    /// Removes a subscription.
    mutating func remove(_ subscription: Subscription) {
        count -= 1
        if subscription.filter.shareName != nil { sharedCount -= 1 }
        let path = subscription.filter.filter.utf8Span.span.bytes
        guard subscription.filter.hasWildcards else { return removeExact(subscription, path) }
        generation &+= 1
        guard path.levelCount <= Self.walkedLevels else { return removeDeep(subscription, path) }
        guard let node = wildcards.node(at: path), let there = wildcards[node] else { return }
        there.remove(subscription)
        if there.isEmpty {
            wildcards[node] = nil
            wildcards.removeIfUnused(node)
        }
    }

    /// The members of a shared subscription; nil when there are none.
    func members(of share: TopicFilter) -> SubscriberList? {
        guard let name = share.shareName else { return nil }
        let path = share.filter.utf8Span.span.bytes
        return node(at: path, hasWildcards: share.hasWildcards)?.members(ofShare: name)
    }

    private func node(at path: RawSpan, hasWildcards: Bool) -> FilterNode? {
        guard hasWildcards else { return findExact(path, hash(path)).flatMap { exactNodes[Int($0)] } }
        guard path.levelCount <= Self.walkedLevels else { return deep.node(at: path) }
        return wildcards.node(at: path).flatMap { wildcards[$0] }
    }

    /// The approximate highest cost in visits of a match that finds nothing.
    var effort: Int { 16 + deep.effort }

    /// Outdates all routes for a reason outside of the index.
    mutating func outdate() { generation &+= 1 }

    /// Calls `visit` with each Topic Filter that matches, in no order.
    @inline(__always)
    func match(_ topic: RawSpan, hash topicHash: UInt64, _ visit: (FilterNode) -> Void) {
        if let row = findExact(topic, topicHash), let node = exactNodes[Int(row)] { visit(node) }
        guard wildcards.count > 1 || !deep.isEmpty else { return }
        let isReserved =
            !topic.isEmpty && topic.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == UInt8(ascii: "$")
        if wildcards.count > 1 {
            var levels = WalkedLevels()
            walk(LevelTrie<FilterNode>.root, 0, topic, &levels, skipWildcards: isReserved, visit)
        }
        // A filter whose `#` stands one level after the topic's last one matches, too.
        if !deep.isEmpty, topic.levelCount >= Self.walkedLevels { deep.match(topic, isReserved: isReserved, visit) }
    }

    /// - Parameter skipWildcards: true at the first level of a topic that begins with `$` [MQTT-4.7.2-1].
    private func walk(
        _ node: LevelTrie<FilterNode>.Node,
        _ depth: Int,
        _ topic: RawSpan,
        _ levels: inout WalkedLevels,
        skipWildcards: Bool,
        _ visit: (FilterNode) -> Void
    ) {
        if !skipWildcards {
            let rest = wildcards.rows[Int(node)].multiLevelWildcard
            if rest >= 0, let found = wildcards[rest] { visit(found) }
        }
        guard let level = levels.level(depth, of: topic, hash) else {
            if let found = wildcards[node] { visit(found) }
            return
        }
        if !skipWildcards {
            let next = wildcards.rows[Int(node)].singleLevelWildcard
            if next >= 0 { walk(next, depth + 1, topic, &levels, skipWildcards: false, visit) }
        }
        // A node whose only children are wildcards needs no look-up.
        if let next = wildcards.child(of: node, label: topic.extracting(level.range), hash: level.hash) {
            walk(next, depth + 1, topic, &levels, skipWildcards: false, visit)
        }
    }

    private func findExact(_ topic: RawSpan, _ topicHash: UInt64) -> Int32? {
        exact.find(topicHash) { row in
            guard let node = exactNodes[Int(row)] else { return false }
            return topic.isEqual(to: node.key)
        }
    }

    private mutating func makeExactNode(_ path: RawSpan) -> FilterNode {
        let pathHash = hash(path)
        if let row = findExact(path, pathHash), let node = exactNodes[Int(row)] { return node }
        let node = FilterNode(key: path.withUnsafeBytes { [UInt8]($0) })
        if let row = freeNodes.popLast() {
            exactNodes[Int(row)] = node
            exact.insert(pathHash, row: row)
        } else {
            exact.insert(pathHash, row: Int32(exactNodes.count))
            exactNodes.append(node)
        }
        return node
    }

    private mutating func removeExact(_ subscription: Subscription, _ path: RawSpan) {
        let pathHash = hash(path)
        guard let row = findExact(path, pathHash), let node = exactNodes[Int(row)] else { return }
        node.remove(subscription)
        guard node.isEmpty else { return }
        exact.remove(pathHash, row: row)
        exactNodes[Int(row)] = nil
        freeNodes.append(row)
    }

    private mutating func removeDeep(_ subscription: Subscription, _ path: RawSpan) {
        guard let node = deep.node(at: path) else { return }
        node.remove(subscription)
        if node.isEmpty { deep.remove(at: path) }
    }
}

/// The levels of a topic that a walk has reached; each is found and hashed once, for any number of nodes there.
private struct WalkedLevels {
    /// One more than the filters' levels, to see that the topic has more.
    private static let count = SubscriptionIndex.walkedLevels + 1

    private var ranges = InlineArray<9, Range<Int>>(repeating: 0..<0)
    private var hashes = InlineArray<9, UInt64>(repeating: 0)
    private var known = 0
    private var rest = TopicLevels()

    /// The level at the given depth, at most one after the known levels; nil after the last.
    @inline(__always)
    mutating func level(_ depth: Int, of topic: RawSpan, _ hash: TopicHash) -> (range: Range<Int>, hash: UInt64)? {
        if depth < known { return (ranges[depth], hashes[depth]) }
        guard depth < Self.count, let range = rest.next(in: topic) else { return nil }
        ranges[depth] = range
        hashes[depth] = hash(topic.extracting(range))
        known = depth + 1
        return (range, hashes[depth])
    }
}
