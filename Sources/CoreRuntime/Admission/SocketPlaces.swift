package import BrokerCore
import NIOConcurrencyHelpers

/// The number of network connections of all listeners, in total and for each network.
///
/// A connection takes a place when it is accepted, before its client is known, and releases it when it closes.
package final class SocketPlaces: Sendable {
    private struct State {
        /// Each open connection, and the network whose share it uses.
        var networks: [ObjectIdentifier: ClientNetwork?] = [:]
        var quota: Quota
        /// Listeners that accept no connection until a place is free.
        var waiting: [@Sendable () -> Void] = []
    }

    private let state: NIOLockedValueBox<State>
    package let refusals: Refusals

    /// - Parameter limit: connections at a time, give or take those that are accepted by one read.
    package init(_ limit: Quota.Limit, refusals: Refusals = Refusals()) {
        state = NIOLockedValueBox(State(quota: Quota(limit)))
        self.refusals = refusals
    }

    /// Open connections.
    package var count: Int { state.withLockedValue { $0.networks.count } }

    /// Takes a place for an accepted connection, until `leave`.
    ///
    /// - Parameters:
    ///   - key: the identifier of the connection.
    ///   - peer: the address of its peer.
    /// - Returns: false when the share of its network is used up, so that it is to be closed.
    package func take(_ key: ObjectIdentifier, _ peer: ClientAddress) -> Bool {
        let isTaken = state.withLockedValue { state -> Bool in
            let holder = Holder(network: peer.network)
            let refusal = state.quota.refusal(for: holder)
            // A connection that was accepted together with the last free place's gets a place all the same.
            guard refusal == nil || refusal == .exhausted else { return false }
            state.quota.add(1, for: holder)
            state.networks[key] = .some(peer.network)
            return true
        }
        if !isTaken { refusals.note(.connections, "\(peer)") }
        return isTaken
    }

    /// Takes a place for a connection without a channel.
    ///
    /// - Parameter peer: the address of its peer.
    /// - Returns: the place, which is released when it is deallocated; nil when the share of its network is used up.
    package func take(for peer: ClientAddress) -> Place? {
        let place = Place(self)
        guard take(ObjectIdentifier(place), peer) else { return nil }
        return place
    }

    /// The place of one connection.
    package final class Place: Sendable {
        private let places: SocketPlaces

        fileprivate init(_ places: SocketPlaces) { self.places = places }

        deinit { places.leave(ObjectIdentifier(self)) }
    }

    /// Moves a connection's place to the client that a trusted proxy has named.
    ///
    /// - Returns: false when the share of the client's network is used up, so that the connection is to be closed.
    package func assign(_ key: ObjectIdentifier, to client: ClientAddress) -> Bool {
        let isAssigned = state.withLockedValue { state -> Bool in
            // A connection that has released its place has none to be moved.
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

    /// Whether a place is free.
    package var hasPlace: Bool { state.withLockedValue { $0.quota.used < $0.quota.limit.total } }

    /// Calls `resume` once, when a connection has closed and there is a place.
    package func whenLeft(_ resume: @escaping @Sendable () -> Void) {
        state.withLockedValue { $0.waiting.append(resume) }
    }

    /// Releases a connection's place.
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
