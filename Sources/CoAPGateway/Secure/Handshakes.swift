package import BrokerCore
package import NIOCore

/// The handshakes under way at a listener: bounded in number, half of them of one address (an IPv6 /64), and in time; sans
/// I/O.
///
/// Where there is no place left the one that began first gives way, of the same address if that has its half, so that
/// strangers who begin many keep out nobody but each other.
package struct Handshakes {
    private struct Open {
        let session: SecureSession
        let network: ClientNetwork?
    }

    private let most: Int
    private var open: [EndpointID: Open] = [:]
    private var order = UseOrder<EndpointID>()
    private var ofNetwork: [ClientNetwork: UseOrder<EndpointID>] = [:]
    /// When the first of them has something to do.
    package private(set) var dueAt = NIODeadline.distantFuture

    /// - Parameter most: how many there may be.
    package init(most: Int) { self.most = max(most, 1) }

    package var count: Int { open.count }

    /// Adds one.
    ///
    /// - Returns: whose handshake gives way to it; it is over here.
    package mutating func begin(
        _ endpoint: EndpointID,
        _ session: SecureSession,
        _ network: ClientNetwork?
    ) -> EndpointID? {
        let leaving = placeToGive(network)
        if let leaving { end(leaving) }
        open[endpoint] = Open(session: session, network: network)
        order.use(endpoint)
        if let network { ofNetwork[network, default: UseOrder()].use(endpoint) }
        dueAt = min(dueAt, session.dueAt)
        return leaving
    }

    /// One is over, or its endpoint gone; nothing where there is none.
    package mutating func end(_ endpoint: EndpointID) {
        guard let ended = open.removeValue(forKey: endpoint) else { return }
        order.remove(endpoint)
        if let network = ended.network {
            ofNetwork[network]?.remove(endpoint)
            if ofNetwork[network]?.isEmpty ?? true { ofNetwork[network] = nil }
        }
        if open.isEmpty { dueAt = .distantFuture }
    }

    /// Something has come for one: it may be due at another time.
    package mutating func touch(_ session: SecureSession) { dueAt = min(dueAt, session.dueAt) }

    /// Those that have something to do now: `goOn` is theirs to be called, and after all of them `lookAgain`.
    package mutating func due(_ now: NIODeadline) -> [(endpoint: EndpointID, session: SecureSession)] {
        guard dueAt <= now else { return [] }
        let due = open.filter { $0.value.session.dueAt <= now }.map { ($0.key, $0.value.session) }
        if due.isEmpty { lookAgain() }
        return due
    }

    /// Finds out when there is something to do next.
    package mutating func lookAgain() { dueAt = open.values.map(\.session.dueAt).min() ?? .distantFuture }

    private mutating func placeToGive(_ network: ClientNetwork?) -> EndpointID? {
        if let network, let own = ofNetwork[network], own.count >= max(most / 2, 1) {
            return ofNetwork[network]?.first()
        }
        return open.count >= most ? order.first() : nil
    }
}
