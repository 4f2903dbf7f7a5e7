import BrokerCore

/// Puts together messages and what became of their deliveries, which stand behind them.
struct MessageAssembly {
    private var message: RecoveredMessage?
    private var destinations: [StoredDestination] = []
    /// Records of deliveries that the message has.
    private(set) var changed: [UInt32] = []

    /// Begins the next message.
    mutating func begin(_ next: RecoveredMessage) {
        message = next
        destinations = next.destinations
        changed.removeAll(keepingCapacity: true)
    }

    /// Takes what became of one delivery of it.
    ///
    /// - Throws: when it has none such.
    mutating func take(_ state: DeliveryState, of place: StoredPlace) throws(RecordProblem) {
        guard place.message == message?.number, place.destination < destinations.count else {
            throw .damaged("the state of a delivery that no message has")
        }
        destinations[Int(place.destination)].state = state
        changed.append(place.destination)
    }

    /// The places of deliveries that are not done and are for nobody: their session is not there.
    func ownerless(_ isKnown: (SessionNumber) -> Bool) -> [UInt32] {
        destinations.indices.compactMap { place in
            let destination = destinations[place]
            return destination.state == .done || Self.isForSomebody(destination, isKnown) ? nil : UInt32(place)
        }
    }

    /// The message with all that is known of its deliveries; nil before the first one.
    ///
    /// - Parameter isKnown: whether there is such a session; else the delivery is done, unless other members of a shared
    ///   subscription are to have it.
    func whole(_ isKnown: (SessionNumber) -> Bool) -> RecoveredMessage? {
        guard let message else { return nil }
        var destinations = destinations
        for place in destinations.indices where !Self.isForSomebody(destinations[place], isKnown) {
            destinations[place].state = .done
        }
        return RecoveredMessage(
            number: message.number,
            cost: message.cost,
            expiresAt: message.expiresAt,
            destinations: destinations
        )
    }

    private static func isForSomebody(_ destination: StoredDestination, _ isKnown: (SessionNumber) -> Bool) -> Bool {
        isKnown(destination.session) || destination.isForOthers
    }
}
