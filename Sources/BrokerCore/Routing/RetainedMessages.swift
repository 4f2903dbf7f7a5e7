import MQTTCodec
import NIOCore

/// What a retained message counts for among its publisher's shares: what it took when it came, topic levels included.
struct RetainedCharge {
    let holder: Holder
    let bytes: Int
    /// What of that is topic levels.
    let levels: Int

    /// Bytes in memory of the note of it.
    static let cost = 96
}

/// The last message with RETAIN of each topic (MQTT 5.0 §3.3.1.3).
struct RetainedMessages {
    private var names: LevelTrie<Message>
    /// Topics that have one.
    private(set) var count = 0
    private var messageBytes = 0
    /// For whom messages are kept, by their nodes; those of nobody in particular are not here.
    private var charges: [LevelTrie<Message>.Node: RetainedCharge] = [:]
    /// Bytes in memory, those of the tree of topics included.
    var bytes: Int { messageBytes + names.bytes + count * RetainedCharge.cost }

    /// No message expires before that.
    private(set) var earliestExpiry = NIODeadline.distantFuture

    init(hash: TopicHash) { names = LevelTrie(hash: hash) }

    /// The retained message of a topic, expired or not.
    func message(of topic: RawSpan) -> Message? {
        names.node(at: topic).flatMap { names[$0] }
    }

    /// Bytes in memory of the topic levels that are not there yet.
    func missingLevels(of topic: RawSpan) -> Int { names.missingCost(at: topic) }

    /// What is charged for the message of a topic; nil when nobody is.
    func charge(of topic: RawSpan) -> RetainedCharge? { names.node(at: topic).flatMap { charges[$0] } }

    /// Bytes in memory once a message of that cost is stored under a topic.
    func bytes(with cost: Int, at topic: RawSpan) -> Int {
        let node = names.node(at: topic)
        let former = node.flatMap { names[$0] }?.cost ?? 0
        let place = former == 0 ? RetainedCharge.cost : 0
        return bytes - former + cost + place + (node == nil ? names.missingCost(at: topic) : 0)
    }

    /// Stores a message in place of what stood there.
    ///
    /// - Returns: what had been charged for that.
    @discardableResult
    mutating func set(_ message: Message, topic: RawSpan, charge: RetainedCharge? = nil) -> RetainedCharge? {
        let node = names.makeNode(at: topic)
        let formerCharge = charges[node]
        charges[node] = charge
        defer { note(expiry: message.expiresAt) }
        if let former = names[node] { messageBytes -= former.cost } else { count += 1 }
        messageBytes += message.cost
        names[node] = message
        return formerCharge
    }

    /// A message expires at that time.
    mutating func note(expiry: NIODeadline) { earliestExpiry = min(earliestExpiry, expiry) }

    mutating func forgetEarliestExpiry() { earliestExpiry = .distantFuture }

    /// Removes a topic's message.
    ///
    /// - Returns: whether there was one, and what had been charged for it.
    mutating func remove(_ topic: RawSpan) -> (wasThere: Bool, charge: RetainedCharge?) {
        guard let node = names.node(at: topic), let former = names[node] else { return (false, nil) }
        let charge = charges.removeValue(forKey: node)
        names[node] = nil
        count -= 1
        messageBytes -= former.cost
        names.removeIfUnused(node)
        return (true, charge)
    }

    /// Places for topic levels and their messages, those that are free included.
    var nodes: Int { names.rows.count }

    /// The message at a place, `0..<nodes`.
    func message(in node: Int) -> Message? { names.rows[node].value }

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
