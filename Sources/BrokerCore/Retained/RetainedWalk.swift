import MQTTCodec

/// A walk over the retained messages whose topics match a Topic Filter, in parts, while messages come and go.
///
/// It needs the same memory for any number of messages: the next node, which is kept in the tree as long as the walk
/// pauses there. It finds each message once that is retained from the walk's beginning to its end. It leaves out
/// messages that are retained during the walk, since a subscriber gets these as they are published.
struct RetainedWalk {
    typealias Node = LevelTrie<RetainedMessages.Entry>.Node

    private let filter: String
    /// The ranges of the filter's levels in its UTF-8, without the `#` at its end.
    private let levels: ContiguousArray<Range<Int>>
    /// Whether the filter ends with `#`.
    private let hasMultiLevelWildcard: Bool
    /// The number of the newest message that it finds.
    private let lastNumber: UInt64
    /// The next node; nil at the end of the walk.
    private(set) var next: Node? = LevelTrie<RetainedMessages.Entry>.root
    /// The number of levels above that node.
    private var depth = 0
    /// The node that the tree keeps for the walk.
    var pinned: Node?

    /// Begins a walk over the messages that are retained now.
    ///
    /// - Parameter filter: a Topic Filter without `$share/…`.
    init(_ filter: String, over messages: RetainedMessages) {
        self.filter = filter
        let path = filter.utf8Span.span.bytes
        var levels: ContiguousArray<Range<Int>> = []
        var remaining = TopicLevels()
        while let range = remaining.next(in: path) { levels.append(range) }
        hasMultiLevelWildcard = levels.last.map { path.isLevel($0, UInt8(ascii: "#")) } ?? false
        if hasMultiLevelWildcard { levels.removeLast() }
        self.levels = levels
        lastNumber = messages.lastNumber
    }

    /// Advances to the next message, and stays there.
    ///
    /// - Parameter steps: nodes that it may still visit.
    /// - Returns: the message; nil at the end, and when the steps are used up.
    mutating func findMessage(_ messages: RetainedMessages, steps: inout Int) -> Message? {
        while let node = next, steps > 0 {
            steps -= 1
            // `sport/#` matches `sport` too (MQTT 5.0 §4.7.1.2).
            let isMatch = hasMultiLevelWildcard ? depth >= levels.count : depth == levels.count
            if isMatch, let entry = messages.names[node], entry.number <= lastNumber, !isHidden(node, messages.names) {
                return entry.message
            }
            moveOn(messages, steps: &steps)
        }
        return nil
    }

    /// Advances from the message that was found.
    mutating func moveOn(_ messages: RetainedMessages, steps: inout Int) {
        guard let node = next else { return }
        moveOn(from: node, descending: !isHidden(node, messages.names), messages.names, steps: &steps)
    }

    /// Wildcards at the first level don't match topics that begin with `$` [MQTT-4.7.2-1].
    private func isHidden(_ node: Node, _ names: LevelTrie<RetainedMessages.Entry>) -> Bool {
        depth == 1 && takesAllChildren(at: 0) && names.rows[Int(node)].label.first == UInt8(ascii: "$")
    }

    /// Advances to the first child that the filter matches, else to the next sibling of the node or of one above it.
    private mutating func moveOn(
        from start: Node,
        descending: Bool,
        _ names: LevelTrie<RetainedMessages.Entry>,
        steps: inout Int
    ) {
        if descending, let child = firstChild(of: start, names) {
            next = child
            depth += 1
            return
        }
        var node = start
        while node != LevelTrie<RetainedMessages.Entry>.root {
            let row = names.rows[Int(node)]
            if takesAllChildren(at: depth - 1), row.nextSibling >= 0 {
                next = row.nextSibling
                return
            }
            node = row.parent
            depth -= 1
            steps -= 1
        }
        next = nil
    }

    private func firstChild(of node: Node, _ names: LevelTrie<RetainedMessages.Entry>) -> Node? {
        if takesAllChildren(at: depth) {
            let first = names.rows[Int(node)].firstChild
            return first >= 0 ? first : nil
        }
        guard depth < levels.count else { return nil }
        return names.child(of: node, label: filter.utf8Span.span.bytes.extracting(levels[depth]))
    }

    /// Whether the filter's level after the given number of levels is a wildcard.
    private func takesAllChildren(at depth: Int) -> Bool {
        guard depth < levels.count else { return hasMultiLevelWildcard }
        return filter.utf8Span.span.bytes.isLevel(levels[depth], UInt8(ascii: "+"))
    }
}

extension RawSpan {
    /// Whether a level consists of the given byte.
    fileprivate func isLevel(_ range: Range<Int>, _ byte: UInt8) -> Bool {
        range.count == 1 && unsafeLoad(fromByteOffset: range.lowerBound, as: UInt8.self) == byte
    }
}
