/// A tree of topic levels in one flat table, with one hash index for all its edges.
///
/// It serves both directions: filters are found by a Topic Name (subscriptions), and names by a Topic Filter (retained
/// messages). A node without value and children is recycled.
struct LevelTrie<Value> {
    typealias Node = Int32
    static var none: Node { -1 }
    /// The node above all first levels.
    static var root: Node { 0 }

    struct Row {
        var label: [UInt8]
        var hash: UInt64
        var parent: Node
        var firstChild: Node = -1
        var nextSibling: Node = -1
        var previousSibling: Node = -1
        /// The child labelled `+`, kept apart so that matching needs no look-up for it.
        var singleLevelWildcard: Node = -1
        /// The child labelled `#`.
        var multiLevelWildcard: Node = -1
        var value: Value?
    }

    private(set) var rows: ContiguousArray<Row>
    private var free: [Node] = []
    private var edges = HashIndex()
    /// The number of paused walks at a node; a node with one is not recycled.
    private var pins: [Node: Int] = [:]
    private let hash: TopicHash
    /// Bytes in memory of the nodes in use, without their values.
    private(set) var bytes = 0

    init(hash: TopicHash) {
        self.hash = hash
        rows = [Row(label: [], hash: 0, parent: -1)]
    }

    /// Nodes in use, the root included.
    var count: Int { rows.count - free.count }

    /// Bytes in memory of a node: its row, its edge in the index, and its label.
    static func cost(label: Int) -> Int {
        MemoryCost.slack * (MemoryLayout<Row>.stride + HashIndex.slotCost) + (label > 0 ? MemoryCost.block + label : 0)
    }

    /// The highest cost in memory of a path that is missing.
    static func cost(path: RawSpan) -> Int {
        var levels = TopicLevels()
        var cost = 0
        while let range = levels.next(in: path) { cost += Self.cost(label: range.count) }
        return cost
    }

    /// Bytes in memory of the missing nodes of a path.
    func missingCost(at path: RawSpan) -> Int {
        var node: Node? = Self.root
        var levels = TopicLevels()
        var cost = 0
        while let range = levels.next(in: path) {
            node = node.flatMap { child(of: $0, label: path.extracting(range)) }
            if node == nil { cost += Self.cost(label: range.count) }
        }
        return cost
    }

    /// The child of a node with the given label.
    @inline(__always)
    func child(of parent: Node, label: RawSpan) -> Node? { child(of: parent, label: label, hash: hash(label)) }

    /// The child of a node with the given label and its hash.
    @inline(__always)
    func child(of parent: Node, label: RawSpan, hash labelHash: UInt64) -> Node? {
        edges.find(edgeHash(parent, labelHash)) { row in
            rows[Int(row)].parent == parent && label.isEqual(to: rows[Int(row)].label)
        }
    }

    /// The node at the end of a path of levels; nil when there is none.
    func node(at path: RawSpan) -> Node? {
        var node = Self.root
        var levels = TopicLevels()
        while let range = levels.next(in: path) {
            guard let next = child(of: node, label: path.extracting(range)) else { return nil }
            node = next
        }
        return node
    }

    /// The node at the end of a path of levels; missing nodes are made.
    mutating func makeNode(at path: RawSpan) -> Node {
        var node = Self.root
        var levels = TopicLevels()
        while let range = levels.next(in: path) {
            let label = path.extracting(range)
            node = child(of: node, label: label) ?? addChild(of: node, label: label)
        }
        return node
    }

    /// Reads or changes the value of a node.
    subscript(node: Node) -> Value? {
        get { rows[Int(node)].value }
        set { rows[Int(node)].value = newValue }
    }

    /// Keeps a node until `unpin`, even without value and children, for a walk that pauses at it.
    mutating func pin(_ node: Node) { pins[node, default: 0] += 1 }

    /// Ends one `pin` of a node, and recycles the node if nothing else uses it.
    mutating func unpin(_ node: Node) {
        guard let count = pins[node] else { return }
        pins[node] = count > 1 ? count - 1 : nil
        removeIfUnused(node)
    }

    /// Recycles a node without value and children, and then its parents likewise.
    mutating func removeIfUnused(_ start: Node) {
        var node = start
        while node != Self.root, rows[Int(node)].value == nil, rows[Int(node)].firstChild == Self.none,
            pins.isEmpty || pins[node] == nil
        {
            let parent = rows[Int(node)].parent
            unlink(node)
            bytes -= Self.cost(label: rows[Int(node)].label.count)
            edges.remove(edgeHash(parent, rows[Int(node)].hash), row: node)
            rows[Int(node)] = Row(label: [], hash: 0, parent: -1)
            free.append(node)
            node = parent
        }
    }

    private mutating func addChild(of parent: Node, label: RawSpan) -> Node {
        let labelHash = hash(label)
        var row = Row(label: label.withUnsafeBytes { [UInt8]($0) }, hash: labelHash, parent: parent)
        row.nextSibling = rows[Int(parent)].firstChild
        let node: Node
        if let recycled = free.popLast() {
            node = recycled
            rows[Int(node)] = row
        } else {
            node = Node(rows.count)
            rows.append(row)
        }
        if row.nextSibling != Self.none { rows[Int(row.nextSibling)].previousSibling = node }
        rows[Int(parent)].firstChild = node
        if row.label == [UInt8(ascii: "+")] { rows[Int(parent)].singleLevelWildcard = node }
        if row.label == [UInt8(ascii: "#")] { rows[Int(parent)].multiLevelWildcard = node }
        edges.insert(edgeHash(parent, labelHash), row: node)
        bytes += Self.cost(label: label.byteCount)
        return node
    }

    private mutating func unlink(_ node: Node) {
        let row = rows[Int(node)]
        if row.previousSibling == Self.none {
            rows[Int(row.parent)].firstChild = row.nextSibling
        } else {
            rows[Int(row.previousSibling)].nextSibling = row.nextSibling
        }
        if row.nextSibling != Self.none { rows[Int(row.nextSibling)].previousSibling = row.previousSibling }
        if rows[Int(row.parent)].singleLevelWildcard == node { rows[Int(row.parent)].singleLevelWildcard = Self.none }
        if rows[Int(row.parent)].multiLevelWildcard == node { rows[Int(row.parent)].multiLevelWildcard = Self.none }
    }

    @inline(__always)
    private func edgeHash(_ parent: Node, _ label: UInt64) -> UInt64 {
        (label ^ UInt64(UInt32(bitPattern: parent))) &* 0x9e37_79b9_7f4a_7c15
    }
}

/// Walks the levels of a Topic Name or Topic Filter: the text between its slashes, which may be empty (MQTT 5.0
/// §4.7.1.1).
///
/// It keeps only a position, so that the path itself can be borrowed bytes.
struct TopicLevels {
    private var start = 0

    init() {}

    /// Begins after the given number of bytes of levels and slashes.
    init(after bytes: Int) { start = bytes }

    /// The next level's range in `path`; nil after the last.
    @inline(__always)
    mutating func next(in path: RawSpan) -> Range<Int>? {
        let count = path.byteCount
        guard start <= count else { return nil }
        var end = start
        while end < count, path.unsafeLoad(fromUncheckedByteOffset: end, as: UInt8.self) != UInt8(ascii: "/") {
            end &+= 1
        }
        defer { start = end &+ 1 }
        return start..<end
    }
}
