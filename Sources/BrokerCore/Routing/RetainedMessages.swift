import MQTTCodec
import NIOCore

/// The last message with RETAIN of each topic (MQTT 5.0 §3.3.1.3).
struct RetainedMessages {
    private var names: LevelTrie<Message>
    /// Topics that have one.
    private(set) var count = 0
    private var messageBytes = 0
    /// Bytes in memory, those of the tree of topics included.
    var bytes: Int { messageBytes + names.bytes }

    init(hash: TopicHash) { names = LevelTrie(hash: hash) }

    /// The retained message of a topic, expired or not.
    func message(of topic: RawSpan) -> Message? {
        names.node(at: topic).flatMap { names[$0] }
    }

    /// Bytes in memory once a message of that cost is stored under a topic.
    func bytes(with cost: Int, at topic: RawSpan) -> Int {
        let node = names.node(at: topic)
        let former = node.flatMap { names[$0] }?.cost ?? 0
        return bytes - former + cost + (node == nil ? names.missingCost(at: topic) : 0)
    }

    /// Stores a message in place of what stood there.
    mutating func set(_ message: Message, topic: RawSpan) {
        let node = names.makeNode(at: topic)
        if let former = names[node] { messageBytes -= former.cost } else { count += 1 }
        messageBytes += message.cost
        names[node] = message
    }

    /// Removes a topic's message.
    ///
    /// - Returns: whether there was one.
    @discardableResult
    mutating func remove(_ topic: RawSpan) -> Bool {
        guard let node = names.node(at: topic), let former = names[node] else { return false }
        names[node] = nil
        count -= 1
        messageBytes -= former.cost
        names.removeIfUnused(node)
        return true
    }

    /// The messages whose Message Expiry Interval has passed.
    func expired(at now: NIODeadline) -> [Message] {
        names.rows.compactMap { row in row.value.flatMap { $0.expiresAt <= now ? $0 : nil } }
    }

    /// Some messages of topics that do not begin with `$`, so many at most, in no order.
    func some(_ limit: Int) -> [Message] {
        var found: [Message] = []
        for row in names.rows {
            guard found.count < limit else { break }
            guard let message = row.value else { continue }
            if !message.withBytes({ topic, _ in topic.withUnsafeBytes { $0.first == UInt8(ascii: "$") } }) {
                found.append(message)
            }
        }
        return found
    }

    /// All messages whose topics match a filter, `$`-topics only by filters that begin so [MQTT-4.7.2-1].
    func matching(_ filter: TopicFilter, _ body: (Message) -> Void) {
        let path = filter.filter.utf8Span.span.bytes
        visit(LevelTrie<Message>.root, path, TopicLevels(), body)
    }

    private func visit(
        _ node: LevelTrie<Message>.Node,
        _ path: RawSpan,
        _ levels: TopicLevels,
        _ body: (Message) -> Void
    ) {
        var levels = levels
        guard let range = levels.next(in: path) else {
            if let message = names[node] { body(message) }
            return
        }
        let label = path.extracting(range)
        guard label.byteCount == 1 else { return descend(node, label, path, levels, body) }
        switch label.unsafeLoad(fromByteOffset: 0, as: UInt8.self) {
        case UInt8(ascii: "#"):
            // `sport/#` matches `sport` too (MQTT 5.0 §4.7.1.2).
            if let message = names[node] { body(message) }
            forEachChild(of: node) { visitAll($0, body) }
        case UInt8(ascii: "+"):
            forEachChild(of: node) { visit($0, path, levels, body) }
        default:
            descend(node, label, path, levels, body)
        }
    }

    private func descend(
        _ node: LevelTrie<Message>.Node,
        _ label: RawSpan,
        _ path: RawSpan,
        _ levels: TopicLevels,
        _ body: (Message) -> Void
    ) {
        if let child = names.child(of: node, label: label) { visit(child, path, levels, body) }
    }

    private func visitAll(_ node: LevelTrie<Message>.Node, _ body: (Message) -> Void) {
        if let message = names[node] { body(message) }
        forEachChild(of: node) { visitAll($0, body) }
    }

    private func forEachChild(of node: LevelTrie<Message>.Node, _ body: (LevelTrie<Message>.Node) -> Void) {
        var child = names.rows[Int(node)].firstChild
        while child >= 0 {
            let row = names.rows[Int(child)]
            if node != LevelTrie<Message>.root || row.label.first != UInt8(ascii: "$") { body(child) }
            child = row.nextSibling
        }
    }
}
