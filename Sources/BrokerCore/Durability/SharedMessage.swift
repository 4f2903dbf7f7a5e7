/// What the journal knows of a stored message for several sessions: which of its deliveries are done.
///
/// Each counts once, whoever says so and however often, or the message would be removed while somebody waits for it.
package struct SharedMessage {
    /// Sessions it is for.
    package let destinations: Int
    /// Deliveries that are not done.
    package private(set) var remaining: Int
    /// A bit for each of the first 64 destinations whose delivery is done.
    private var done: UInt64 = 0
    /// Those of the destinations that follow, in words.
    private var doneBeyond: ContiguousArray<UInt64> = []

    /// A message whose deliveries are all to be done.
    package init(destinations: Int) {
        self.destinations = destinations
        remaining = destinations
        if destinations > 64 { doneBeyond = ContiguousArray(repeating: 0, count: (destinations - 1) / 64) }
    }

    /// A message whose deliveries have come so far.
    init(_ states: some Collection<StoredDestination>) {
        self.init(destinations: states.count)
        for (place, destination) in states.enumerated() where destination.state == .done { finish(UInt32(place)) }
    }

    /// A delivery is done.
    ///
    /// - Parameter destination: its place among the message's destinations.
    /// - Returns: whether it was not before.
    @discardableResult
    package mutating func finish(_ destination: UInt32) -> Bool {
        let place = Int(destination)
        guard place < destinations else { return false }
        let bit: UInt64 = 1 << UInt64(place % 64)
        let word = place < 64 ? done : doneBeyond[place / 64 - 1]
        guard word & bit == 0 else { return false }
        if place < 64 { done |= bit } else { doneBeyond[place / 64 - 1] |= bit }
        remaining -= 1
        return true
    }
}
