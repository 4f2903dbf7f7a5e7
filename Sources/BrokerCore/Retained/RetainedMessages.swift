import MQTTCodec
import NIOCore

/// The charge of a retained message to its publisher's shares: its cost when it was retained, topic levels included.
struct RetainedCharge {
    let holder: Holder
    let bytes: Int
    /// The part of the bytes that is for topic levels.
    let levels: Int

    /// Bytes in memory of the charge itself.
    static let cost = 96
}

/// The last message with RETAIN of each topic (MQTT 5.0 §3.3.1.3).
///
/// A `RetainedWalk` finds the messages that match a Topic Filter.
struct RetainedMessages {
    struct Entry {
        let message: Message
        /// Ascends with each message that is retained, so that a walk can tell older messages from newer ones.
        let number: UInt64
    }

    private(set) var names: LevelTrie<Entry>
    /// The number of the message that was retained last.
    private(set) var lastNumber: UInt64 = 0
    /// Topics with a retained message.
    private(set) var count = 0
    private var messageBytes = 0
    /// The charges of messages, by their nodes; a message without a holder has none.
    private var charges: [LevelTrie<Message>.Node: RetainedCharge] = [:]
    /// Bytes in memory, including the tree of topics.
    var bytes: Int { messageBytes + names.bytes + count * RetainedCharge.cost }

    /// The earliest time at which a message may expire.
    private(set) var earliestExpiry = NIODeadline.distantFuture

    init(hash: TopicHash) { names = LevelTrie(hash: hash) }

    /// The retained message of a topic, expired or not.
    func message(of topic: RawSpan) -> Message? {
        names.node(at: topic).flatMap { names[$0]?.message }
    }

    /// Bytes in memory of a topic's levels that are not in the tree yet.
    func missingLevels(of topic: RawSpan) -> Int { names.missingCost(at: topic) }

    /// The charge for the message of a topic; nil when it has no holder.
    func charge(of topic: RawSpan) -> RetainedCharge? { names.node(at: topic).flatMap { charges[$0] } }

    /// Bytes in memory once a message of the given cost is retained under a topic.
    func bytes(with cost: Int, at topic: RawSpan) -> Int {
        let node = names.node(at: topic)
        let former = node.flatMap { names[$0] }?.message.cost ?? 0
        let place = former == 0 ? RetainedCharge.cost : 0
        return bytes - former + cost + place + (node == nil ? names.missingCost(at: topic) : 0)
    }

    /// Retains a message in place of the topic's former one.
    ///
    /// - Returns: the charge of the former message.
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

    /// Notes the time at which a message expires.
    mutating func note(expiry: NIODeadline) { earliestExpiry = min(earliestExpiry, expiry) }

    mutating func forgetEarliestExpiry() { earliestExpiry = .distantFuture }

    /// Removes a topic's message.
    ///
    /// - Returns: whether there was a message, and its charge.
    mutating func remove(_ topic: RawSpan) -> (wasThere: Bool, charge: RetainedCharge?) {
        guard let node = names.node(at: topic), let former = names[node] else { return (false, nil) }
        let charge = charges.removeValue(forKey: node)
        names[node] = nil
        count -= 1
        messageBytes -= former.message.cost
        names.removeIfUnused(node)
        return (true, charge)
    }

    /// Nodes for topic levels and their messages, free ones included.
    var nodes: Int { names.rows.count }

    /// The message of a node, `0..<nodes`.
    func message(in node: Int) -> Message? { names.rows[node].value?.message }

    /// The given number of messages at most, of topics that do not begin with `$`, in no order.
    ///
    /// Nodes without a message are skipped, but only a limited number of them.
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

    /// Pauses a walk at a node, which is kept for it.
    mutating func pause(_ walk: inout RetainedWalk) {
        let left = walk.pinned
        walk.pinned = walk.next
        if let next = walk.next { names.pin(next) }
        if let left { names.unpin(left) }
    }

    /// Ends a walk that is finished or cancelled.
    mutating func end(_ walk: RetainedWalk) {
        if let pinned = walk.pinned { names.unpin(pinned) }
    }
}
