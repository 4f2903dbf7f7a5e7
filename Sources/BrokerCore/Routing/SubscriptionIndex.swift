import MQTTCodec

/// Finds the subscriptions that match a Topic Name.
///
/// Filters without wildcards, the great majority, are in a hash table and cost one look-up; those with wildcards are in
/// a `LevelTrie`.
struct SubscriptionIndex {
    private var exact = HashIndex()
    private var exactNodes: ContiguousArray<FilterNode?> = []
    private var freeNodes: [Int32] = []
    private var wildcards: LevelTrie<FilterNode>
    private let hash: TopicHash
    /// Subscriptions of all sessions.
    private(set) var count = 0
    /// Those of them that are members of a shared subscription.
    private(set) var sharedCount = 0
    /// Raised by each change to a filter with wildcards, and by `outdate`: any topic's route may be different now.
    private(set) var generation: UInt64 = 0

    init(hash: TopicHash) {
        self.hash = hash
        wildcards = LevelTrie(hash: hash)
    }

    /// Adds a subscription.
    mutating func insert(_ subscription: Subscription) {
        let filter = subscription.filter
        count += 1
        if filter.shareName != nil { sharedCount += 1 }
        let path = filter.filter.utf8Span.span.bytes
        guard filter.hasWildcards else { return makeExactNode(path).add(subscription) }
        generation &+= 1
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
        let node =
            share.hasWildcards
            ? wildcards.node(at: path).flatMap { wildcards[$0] }
            : findExact(path, hash(path)).flatMap { exactNodes[Int($0)] }
        return node?.members(ofShare: name)
    }

    /// Any topic's route may be different now, for a reason that is not in the index.
    mutating func outdate() { generation &+= 1 }

    /// Calls `visit` with each Topic Filter that matches, in no order.
    @inline(__always)
    func match(_ topic: RawSpan, hash topicHash: UInt64, _ visit: (FilterNode) -> Void) {
        if let row = findExact(topic, topicHash), let node = exactNodes[Int(row)] { visit(node) }
        guard wildcards.count > 1 else { return }
        let isReserved =
            !topic.isEmpty && topic.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == UInt8(ascii: "$")
        matchWildcards(topic, TopicLevels(), LevelTrie<FilterNode>.root, skipWildcards: isReserved, visit)
    }

    /// - Parameter skipWildcards: at the first level of a topic that begins with `$` [MQTT-4.7.2-1].
    private func matchWildcards(
        _ topic: RawSpan,
        _ levels: TopicLevels,
        _ node: LevelTrie<FilterNode>.Node,
        skipWildcards: Bool,
        _ visit: (FilterNode) -> Void
    ) {
        var levels = levels
        let row = wildcards.rows[Int(node)]
        if row.multiLevelWildcard >= 0, !skipWildcards, let found = wildcards[row.multiLevelWildcard] { visit(found) }
        guard let range = levels.next(in: topic) else {
            if let found = row.value { visit(found) }
            return
        }
        if row.singleLevelWildcard >= 0, !skipWildcards {
            matchWildcards(topic, levels, row.singleLevelWildcard, skipWildcards: false, visit)
        }
        // Without other children than wildcards there is nothing to look up.
        if let next = wildcards.child(of: node, label: topic.extracting(range)) {
            matchWildcards(topic, levels, next, skipWildcards: false, visit)
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
}
