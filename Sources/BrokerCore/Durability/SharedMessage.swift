/// The journal's record of a stored message for several sessions: the deliveries that are done.
///
/// Each delivery counts once, even if its end is reported twice, so that the message is not removed while a session
/// needs it.
package struct SharedMessage {
    /// The number of its sessions.
    package let destinations: Int
    /// The number of deliveries that are not done.
    package private(set) var remaining: Int
    /// A bit for each of the first 64 destinations whose delivery is done.
    private var done: UInt64 = 0
    /// The bits of the further destinations, in words.
    private var doneBeyond: ContiguousArray<UInt64> = []

    /// Makes a record in which no delivery is done.
    package init(destinations: Int) {
        self.destinations = destinations
        remaining = destinations
        if destinations > 64 { doneBeyond = ContiguousArray(repeating: 0, count: (destinations - 1) / 64) }
    }

    /// Makes a record from the states of the deliveries.
    init(_ states: some Collection<StoredDestination>) {
        self.init(destinations: states.count)
        for (place, destination) in states.enumerated() where destination.state == .done { finish(UInt32(place)) }
    }

    /// Notes that a delivery is done.
    ///
    /// - Parameter destination: its index among the message's destinations.
    /// - Returns: whether it was not done before.
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
