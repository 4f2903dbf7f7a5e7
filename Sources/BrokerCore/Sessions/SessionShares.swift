import MQTTCodec

/// A shared subscription under the number that it has in one session.
///
/// Four bytes a message and nothing to count, where its filter would be 50.
package struct ShareNumber: Hashable, Sendable {
    fileprivate let rawValue: UInt32

    /// No shared subscription.
    static let none = ShareNumber(rawValue: 0)
}

/// The shared subscriptions by which messages of one session come or have come: also those that the client has left, as
/// long as it holds messages of theirs.
///
/// A value: who reads messages back keeps a copy, whose numbers mean the same whatever becomes of the session.
struct SessionShares {
    private var filters: [TopicFilter?] = []

    var isEmpty: Bool { filters.isEmpty }

    /// The number of a shared subscription, `.none` for a filter that is none.
    mutating func number(of filter: TopicFilter) -> ShareNumber {
        guard filter.shareName != nil else { return .none }
        let place = filters.firstIndex(of: filter) ?? filters.firstIndex(of: nil) ?? filters.count
        if place == filters.count { filters.append(filter) } else { filters[place] = filter }
        return ShareNumber(rawValue: UInt32(place + 1))
    }

    /// The shared subscription of that number; nil for `.none`, and for a number that is not in use.
    subscript(number: ShareNumber) -> TopicFilter? {
        let place = Int(number.rawValue) - 1
        return filters.indices.contains(place) ? filters[place] : nil
    }

    /// Gives back the numbers that are not in use.
    mutating func keep(_ used: Set<ShareNumber>) {
        for place in filters.indices where !used.contains(ShareNumber(rawValue: UInt32(place + 1))) {
            filters[place] = nil
        }
        while let last = filters.last, last == nil { filters.removeLast() }
    }
}
