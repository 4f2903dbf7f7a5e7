/// The number of a topic level's label: equal numbers mean equal labels.
struct LabelNumber: Comparable {
    fileprivate let rawValue: Int32

    /// A label that no filter has.
    static let unknown = LabelNumber(rawValue: -3)
    /// `#`.
    static let multiLevelWildcard = LabelNumber(rawValue: -2)
    /// `+`.
    static let singleLevelWildcard = LabelNumber(rawValue: -1)

    /// Whether it is a label, and not a wildcard.
    var isLabel: Bool { rawValue >= 0 }

    @inline(__always)
    static func < (left: LabelNumber, right: LabelNumber) -> Bool { left.rawValue < right.rawValue }
}

/// Numbers labels; a label has its number as long as a filter uses it.
struct LabelNumbers {
    private struct Label {
        var bytes: [UInt8]
        var uses: Int
    }

    private var labels: ContiguousArray<Label> = []
    private var free: [Int32] = []
    private var index = HashIndex()
    private let hash: TopicHash

    init(hash: TopicHash) { self.hash = hash }

    /// The number of a filter's level, which is in use from now on.
    mutating func retain(_ level: RawSpan) -> LabelNumber {
        switch level.byteCount == 1 ? level.unsafeLoad(fromByteOffset: 0, as: UInt8.self) : 0 {
        case UInt8(ascii: "+"): return .singleLevelWildcard
        case UInt8(ascii: "#"): return .multiLevelWildcard
        default: break
        }
        let levelHash = hash(level)
        if let row = find(level, levelHash) {
            labels[Int(row)].uses += 1
            return LabelNumber(rawValue: row)
        }
        let label = Label(bytes: level.withUnsafeBytes { [UInt8]($0) }, uses: 1)
        let row = free.popLast() ?? Int32(labels.count)
        if Int(row) == labels.count { labels.append(label) } else { labels[Int(row)] = label }
        index.insert(levelHash, row: row)
        return LabelNumber(rawValue: row)
    }

    /// Ends one use of a number.
    mutating func release(_ number: LabelNumber) {
        guard number.isLabel else { return }
        let row = Int(number.rawValue)
        labels[row].uses -= 1
        guard labels[row].uses == 0 else { return }
        let bytes = labels[row].bytes
        index.remove(hash(bytes.span.bytes), row: number.rawValue)
        labels[row].bytes = []
        free.append(number.rawValue)
    }

    /// The numbers of a topic's first levels.
    func numbers(of topic: RawSpan, atMost limit: Int) -> ContiguousArray<LabelNumber> {
        var numbers: ContiguousArray<LabelNumber> = []
        numbers.reserveCapacity(limit)
        var levels = TopicLevels()
        while numbers.count < limit, let range = levels.next(in: topic) {
            let level = topic.extracting(range)
            numbers.append(find(level, hash(level)).map { LabelNumber(rawValue: $0) } ?? .unknown)
        }
        return numbers
    }

    @inline(__always)
    private func find(_ level: RawSpan, _ levelHash: UInt64) -> Int32? {
        index.find(levelHash) { level.isEqual(to: labels[Int($0)].bytes) }
    }
}
