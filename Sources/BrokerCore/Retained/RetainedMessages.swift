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
///
/// Those that match a Topic Filter are found by a `RetainedWalk`.
struct RetainedMessages {
    struct Entry {
        let message: Message
        /// Ascends with each message that is retained: which are older than a subscription can be told by it.
        let number: UInt64
    }

    private(set) var names: LevelTrie<Entry>
    /// Of the message that was retained last.
    private(set) var lastNumber: UInt64 = 0
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
        names.node(at: topic).flatMap { names[$0]?.message }
    }

    /// Bytes in memory of the topic levels that are not there yet.
    func missingLevels(of topic: RawSpan) -> Int { names.missingCost(at: topic) }

    /// What is charged for the message of a topic; nil when nobody is.
    func charge(of topic: RawSpan) -> RetainedCharge? { names.node(at: topic).flatMap { charges[$0] } }

    /// Bytes in memory once a message of that cost is stored under a topic.
    func bytes(with cost: Int, at topic: RawSpan) -> Int {
        let node = names.node(at: topic)
        let former = node.flatMap { names[$0] }?.message.cost ?? 0
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
        if let former = names[node] { messageBytes -= former.message.cost } else { count += 1 }
        messageBytes += message.cost
        lastNumber += 1
        names[node] = Entry(message: message, number: lastNumber)
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
        messageBytes -= former.message.cost
        names.removeIfUnused(node)
        return (true, charge)
    }

    /// Places for topic levels and their messages, those that are free included.
    var nodes: Int { names.rows.count }

    /// The message at a place, `0..<nodes`.
    func message(in node: Int) -> Message? { names.rows[node].value?.message }

    /// Some messages of topics that do not begin with `$`, so many at most, in no order.
    ///
    /// Levels without a message of their own are passed over, but not any number of them.
    func some(_ limit: Int) -> [Message] {
        var found: [Message] = []
        for row in names.rows.prefix(limit * 8) {
            guard found.count < limit else { break }
            guard let message = row.value?.message else { continue }
            if !message.withBytes({ topic, _ in topic.withUnsafeBytes { $0.first == UInt8(ascii: "$") } }) {
                found.append(message)
            }
        }
        return found
    }

    // MARK: Walks

    /// A walk that pauses stands at a node, which is kept for it.
    mutating func pause(_ walk: inout RetainedWalk) {
        let left = walk.pinned
        walk.pinned = walk.next
        if let next = walk.next { names.pin(next) }
        if let left { names.unpin(left) }
    }

    /// A walk is over, at its end or before.
    mutating func end(_ walk: RetainedWalk) {
        if let pinned = walk.pinned { names.unpin(pinned) }
    }
}
