import MQTTCodec

/// A shared subscription under the number that it has in one session.
///
/// Four bytes a message and nothing to count, where its filter would be 50.
package struct ShareNumber: Hashable, Sendable {
    fileprivate let rawValue: UInt32

    /// No shared subscription.
    package static let none = ShareNumber(rawValue: 0)
}

/// The shared subscriptions by which messages of one session come or have come: also those that the client has left, as
/// long as it holds messages of theirs.
///
/// A value: who reads messages back keeps a copy, whose numbers mean the same whatever becomes of the session.
struct SessionShares {
    private var filters: [ShareNumber: TopicFilter] = [:]
    private var numbers: [TopicFilter: ShareNumber] = [:]
    /// No number is given twice in a row: one that is known from before means nothing rather than another share.
    private var last: UInt32 = 0

    /// Bytes in memory.
    private(set) var bytes = 0

    var isEmpty: Bool { filters.isEmpty }

    /// The number of a shared subscription, `.none` for a filter that is none.
    mutating func number(of filter: TopicFilter) -> ShareNumber {
        guard filter.shareName != nil else { return .none }
        if let known = numbers[filter] { return known }
        repeat { last &+= 1 } while last == 0 || filters[ShareNumber(rawValue: last)] != nil
        let number = ShareNumber(rawValue: last)
        filters[number] = filter
        numbers[filter] = number
        bytes += Self.cost(of: filter)
        return number
    }

    /// The shared subscription of that number; nil for `.none`, and for one that is not in use any more.
    subscript(number: ShareNumber) -> TopicFilter? { filters[number] }

    private static func cost(of filter: TopicFilter) -> Int {
        4 * MemoryCost.block + 2 * filter.string.utf8.count
    }

    /// The numbers of those shared subscriptions that it is true of.
    func numbers(where isWanted: (TopicFilter) -> Bool) -> Set<ShareNumber> {
        var numbers: Set<ShareNumber> = []
        for (number, filter) in filters where isWanted(filter) { numbers.insert(number) }
        return numbers
    }

    /// Gives back the numbers that are not in use.
    mutating func keep(_ used: Set<ShareNumber>) {
        for (number, filter) in filters where !used.contains(number) {
            filters[number] = nil
            numbers[filter] = nil
            bytes -= Self.cost(of: filter)
        }
        guard filters.isEmpty else { return }
        // Room for as many as there were once is not needed.
        filters = [:]
        numbers = [:]
    }
}
