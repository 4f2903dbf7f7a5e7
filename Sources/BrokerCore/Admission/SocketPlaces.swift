import NIOConcurrencyHelpers

/// The places for network connections that all listeners share: so many in all, and so many for one network.
///
/// A place is taken as a connection is accepted, before anybody knows whose it is, and given back as it closes.
package final class SocketPlaces: Sendable {
    private struct State {
        /// Each open connection, and whose share it uses.
        var networks: [ObjectIdentifier: ClientNetwork?] = [:]
        var quota: Quota
        /// Listeners that accept nobody until a place is free.
        var waiting: [@Sendable () -> Void] = []
    }

    private let state: NIOLockedValueBox<State>
    package let refusals: Refusals

    /// - Parameter limit: connections at a time, give or take those that are accepted with one read.
    package init(_ limit: Quota.Limit, refusals: Refusals = Refusals()) {
        state = NIOLockedValueBox(State(quota: Quota(limit)))
        self.refusals = refusals
    }

    /// Connections that are open.
    package var count: Int { state.withLockedValue { $0.networks.count } }

    /// Takes a place for a connection that was accepted; it is given back by `leave`.
    ///
    /// - Parameters:
    ///   - key: the connection's.
    ///   - peer: its other end.
    /// - Returns: false when its network has its share: it is to be closed.
    package func take(_ key: ObjectIdentifier, _ peer: ClientAddress) -> Bool {
        let isTaken = state.withLockedValue { state -> Bool in
            let holder = Holder(network: peer.network)
            let refusal = state.quota.refusal(for: holder)
            // When there are no more places, one that was accepted along with the last has one all the same.
            guard refusal == nil || refusal == .exhausted else { return false }
            state.quota.add(1, for: holder)
            state.networks[key] = .some(peer.network)
            return true
        }
        if !isTaken { refusals.note(.connections, "\(peer)") }
        return isTaken
    }

    /// Takes a place for a connection that is no channel.
    ///
    /// - Parameter peer: its other end.
    /// - Returns: the place, which is given back when nobody has it any more; nil when its network has its share.
    package func take(for peer: ClientAddress) -> Place? {
        let place = Place(self)
        guard take(ObjectIdentifier(place), peer) else { return nil }
        return place
    }

    /// One connection's place.
    package final class Place: Sendable {
        private let places: SocketPlaces

        fileprivate init(_ places: SocketPlaces) { self.places = places }

        deinit { places.leave(ObjectIdentifier(self)) }
    }

    /// A trusted proxy has said for whom a connection is.
    ///
    /// - Returns: false when the client's network has its share: the connection is to be closed.
    package func assign(_ key: ObjectIdentifier, to client: ClientAddress) -> Bool {
        let isAssigned = state.withLockedValue { state -> Bool in
            // One that has given its place back has nothing to be assigned.
            guard let former = state.networks[key], former != client.network else { return true }
            state.quota.giveBack(for: Holder(network: former))
            guard state.quota.take(for: Holder(network: client.network)) == nil else {
                state.quota.add(1, for: Holder(network: former))
                return false
            }
            state.networks[key] = .some(client.network)
            return true
        }
        if !isAssigned { refusals.note(.connections, "\(client)") }
        return isAssigned
    }

    /// Whether there is a place for one more.
    package var hasPlace: Bool { state.withLockedValue { $0.quota.used < $0.quota.limit.total } }

    /// Calls `resume` once, when a connection has closed and there is a place.
    package func whenLeft(_ resume: @escaping @Sendable () -> Void) {
        state.withLockedValue { $0.waiting.append(resume) }
    }

    /// Gives a connection's place back.
    package func leave(_ key: ObjectIdentifier) {
        let waiting = state.withLockedValue { state -> [@Sendable () -> Void] in
            if let network = state.networks.removeValue(forKey: key) {
                state.quota.giveBack(for: Holder(network: network))
            }
            guard state.quota.used < state.quota.limit.total else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for resume in waiting { resume() }
    }
}
