import DequeModule
import NIOCore

/// QoS 1 and 2 messages that wait for the client to return, or for room in its window.
///
/// The queue is bounded in number and bytes. Its front is in memory. Stored messages that are not sent soon are in the
/// store alone; the queue has their place in it, and reads the messages back in pages.
package struct OutboundQueue {
    /// Messages in memory at which further stored messages stay in the store.
    package static let pageCount = 128
    /// Bytes read back at a time, give or take one message.
    static let pageBytes = 256 * 1_024
    /// The shortest time between two searches for expired messages that have found any.
    private static let expiryLook = TimeAmount.seconds(1)

    private var front: Deque<OutboundMessage> = []
    private var stored: Deque<StoredOutbound> = []
    /// Bytes of all messages, in memory or in the store.
    package private(set) var bytes = 0
    /// The earliest time at which a message may expire and a search is allowed.
    private(set) var earliestExpiry = NIODeadline.distantFuture

    package init() {}

    package var count: Int { front.count + stored.count }
    package var isEmpty: Bool { front.isEmpty && stored.isEmpty }
    /// Whether messages have to be read back before any more can be sent.
    package var wantsPage: Bool { front.isEmpty && !stored.isEmpty }

    /// Whether one more message of the given cost is within the limits.
    ///
    /// An empty queue takes any one message.
    package func hasRoom(for cost: Int, limits: QueueLimits) -> Bool {
        isEmpty || (count < limits.messages && bytes + cost <= limits.bytes)
    }

    /// - Parameter isAway: whether the client is away, so that a stored message need not be in memory.
    package mutating func append(_ outbound: OutboundMessage, isAway: Bool) {
        bytes += outbound.cost
        earliestExpiry = min(earliestExpiry, outbound.message.expiresAt)
        guard outbound.place != .none, isAway || !stored.isEmpty || front.count >= Self.pageCount else {
            return front.append(outbound)
        }
        stored.append(StoredOutbound(outbound))
    }

    /// Takes in a message that is in the store alone.
    mutating func append(_ outbound: StoredOutbound) {
        bytes += Int(outbound.cost)
        earliestExpiry = min(earliestExpiry, outbound.expiresAt)
        stored.append(outbound)
    }

    /// The oldest message, if it is in memory.
    package mutating func popFirst() -> OutboundMessage? {
        guard let first = front.popFirst() else { return nil }
        bytes -= first.cost
        return first
    }

    /// Drops the oldest message, in memory or in the store.
    ///
    /// - Returns: its place in the store, and its position in the session's order; nil when the queue was empty.
    mutating func dropFirst() -> (place: StoredPlace, sequence: UInt64)? {
        if let first = popFirst() { return (first.place, first.sequence) }
        guard let first = stored.popFirst() else { return nil }
        bytes -= Int(first.cost)
        return (first.place, first.sequence)
    }

    /// Drops the deliveries up to that position in the session's order.
    mutating func drop(through sequence: UInt64) -> [StoredPlace] {
        var dropped: [StoredPlace] = []
        while let next = front.first?.sequence ?? stored.first?.sequence, next <= sequence {
            if let first = dropFirst() { dropped.append(first.place) }
        }
        return dropped
    }

    /// Drops the expired messages, in memory or in the store.
    mutating func dropExpired(at now: NIODeadline) -> [StoredPlace] {
        guard earliestExpiry <= now else { return [] }
        var dropped: [StoredPlace] = []
        var freed = 0
        var next = NIODeadline.distantFuture
        func isOver(_ expiresAt: NIODeadline, _ place: StoredPlace, _ cost: Int) -> Bool {
            guard expiresAt <= now else {
                next = min(next, expiresAt)
                return false
            }
            dropped.append(place)
            freed += cost
            return true
        }
        front.removeAll { isOver($0.message.expiresAt, $0.place, $0.cost) }
        stored.removeAll { isOver($0.expiresAt, $0.place, Int($0.cost)) }
        // A search through many messages takes long, so there is none for each message that expires.
        earliestExpiry = max(next, now + Self.expiryLook)
        if isEmpty { earliestExpiry = .distantFuture }
        bytes -= freed
        return dropped
    }

    /// Removes messages, in memory or in the store.
    ///
    /// - Parameter sequences: positions of some of the queue's messages, in its order.
    mutating func remove(_ sequences: [UInt64]) {
        guard !sequences.isEmpty else { return }
        var next = sequences.startIndex
        var freed = 0
        func isWanted(_ sequence: UInt64, _ cost: Int) -> Bool {
            guard next < sequences.endIndex, sequences[next] == sequence else { return false }
            next += 1
            freed += cost
            return true
        }
        front.removeAll { isWanted($0.sequence, $0.cost) }
        stored.removeAll { isWanted($0.sequence, Int($0.cost)) }
        bytes -= freed
    }

    // MARK: Pages

    /// Unloads stored messages from memory, since the client has left.
    mutating func unload() {
        while let last = front.last, last.place != .none {
            stored.prepend(StoredOutbound(last))
            front.removeLast()
        }
    }

    /// The messages to read back next.
    func nextPage() -> [StoredPlace] { Self.page(of: stored, cost: \.cost).map(\.place) }

    /// A page of those messages in the store alone that are wanted.
    ///
    /// - Parameter sequence: a position before the wanted messages in the session's order.
    func page(after sequence: UInt64, where isWanted: (StoredOutbound) -> Bool) -> [StoredOutbound] {
        withoutActuallyEscaping(isWanted) { isWanted in
            Self.page(of: stored.lazy.filter { $0.sequence > sequence && isWanted($0) }, cost: \.cost)
        }
    }

    /// The first elements that are read back together.
    static func page<Element>(of all: some Sequence<Element>, cost: (Element) -> UInt32) -> [Element] {
        var page: [Element] = []
        var bytes = 0
        for element in all {
            page.append(element)
            bytes += Int(cost(element))
            if page.count == pageCount || bytes >= pageBytes { break }
        }
        return page
    }

    /// The positions in the given range of the session's order that are queued, in memory or not.
    func sequences(in range: ClosedRange<UInt64>) -> Set<UInt64> {
        var waiting: Set<UInt64> = []
        for outbound in front where range.contains(outbound.sequence) { waiting.insert(outbound.sequence) }
        for outbound in stored where range.contains(outbound.sequence) { waiting.insert(outbound.sequence) }
        return waiting
    }

    /// Adds a page that was read back.
    ///
    ///   - message: the message at that place; nil when it was not found.
    /// - Returns: the number of messages that were not found.
    mutating func fill(_ places: [StoredPlace], _ messages: [OutboundMessage?]) -> Int {
        var missing = 0
        for (place, message) in zip(places, messages) {
            // The message may have been dropped while it was read.
            guard let first = stored.first, first.place == place else { continue }
            stored.removeFirst()
            if var message {
                message.share = first.share
                message.place = place
                bytes += message.cost - Int(first.cost)
                front.append(message)
            } else {
                bytes -= Int(first.cost)
                missing += 1
            }
        }
        return missing
    }

    /// The messages in memory, oldest first.
    package var messages: some Sequence<OutboundMessage> { front }
    /// The messages in the store alone, oldest first; they come after all messages in memory.
    var storedMessages: some Sequence<StoredOutbound> { stored }

    /// Calls `body` with the places of all stored messages.
    func forEachPlace(_ body: (StoredPlace) -> Void) {
        for outbound in front where outbound.place != .none { body(outbound.place) }
        for outbound in stored { body(outbound.place) }
    }
}

/// The core's record of a queued message that is in the store alone: 40 bytes for any message.
struct StoredOutbound {
    let place: StoredPlace
    let sequence: UInt64
    /// Bytes in memory once it is read back.
    let cost: UInt32
    let share: ShareNumber
    let expiresAt: NIODeadline

    init(place: StoredPlace, sequence: UInt64, cost: Int, share: ShareNumber, expiresAt: NIODeadline) {
        self.place = place
        self.sequence = sequence
        self.cost = UInt32(clamping: cost)
        self.share = share
        self.expiresAt = expiresAt
    }

    init(_ outbound: OutboundMessage) {
        self.init(
            place: outbound.place,
            sequence: outbound.sequence,
            cost: outbound.cost,
            share: outbound.share,
            expiresAt: outbound.message.expiresAt
        )
    }
}
