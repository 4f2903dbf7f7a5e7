import MQTTCodec

/// The number of a shared subscription within one session.
///
/// It takes four bytes for each message and needs no reference count; a Topic Filter would take 50.
package struct ShareNumber: Hashable, Sendable {
    fileprivate let rawValue: UInt32

    /// No shared subscription.
    package static let none = ShareNumber(rawValue: 0)
}

/// The shared subscriptions of a session's messages, including those that the client has left while the session holds
/// their messages.
///
/// It is a value: code that reads messages back keeps a copy, whose numbers stay valid after changes to the session.
struct SessionShares {
    private var filters: [ShareNumber: TopicFilter] = [:]
    private var numbers: [TopicFilter: ShareNumber] = [:]
    /// Numbers are not reused at once, so that an outdated number has no meaning rather than a wrong one.
    private var last: UInt32 = 0

    /// Bytes in memory.
    private(set) var bytes = 0

    var isEmpty: Bool { filters.isEmpty }

    /// The number of a shared subscription; `.none` for a filter that is not shared.
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

    /// The shared subscription of that number; nil for `.none`, and for a number that is not in use any more.
    subscript(number: ShareNumber) -> TopicFilter? { filters[number] }

    private static func cost(of filter: TopicFilter) -> Int {
        4 * MemoryCost.block + 2 * filter.string.utf8.count
    }

    /// The numbers of the shared subscriptions that satisfy the condition.
    func numbers(where isWanted: (TopicFilter) -> Bool) -> Set<ShareNumber> {
        var numbers: Set<ShareNumber> = []
        for (number, filter) in filters where isWanted(filter) { numbers.insert(number) }
        return numbers
    }

    /// Releases the numbers that are not in use.
    mutating func keep(_ used: Set<ShareNumber>) {
        for (number, filter) in filters where !used.contains(number) {
            filters[number] = nil
            numbers[filter] = nil
            bytes -= Self.cost(of: filter)
        }
        guard filters.isEmpty else { return }
        // Releases the capacity of former entries.
        filters = [:]
        numbers = [:]
    }
}
