import BrokerCore
import MQTTCodec

/// One MQTT client behind an endpoint: the credentials it uses there, its subscriptions, and its virtual connection.
///
/// A CoAP client does not connect; the first request that needs it does so on its behalf, and again after the core ended
/// the connection. Each connection is a generation, so that what belongs to an old one is told apart.
final class CoAPClient: @unchecked Sendable {
    // Sendable as a handle: `link` is touched on the core loop only, everything else that changes on the CoAP thread.

    /// One SUBSCRIBE and the observations that share it.
    struct Subscription {
        let filter: String
        var observations: [Observation] = []
        /// Observations, and registrations the core has not answered yet.
        var users = 0
    }

    let credentials: ClientCredentials
    let endpoint: Endpoint

    /// By Subscription Identifier.
    var subscriptions: [UInt32: Subscription] = [:]
    private var identifiers: [String: UInt32] = [:]
    private var lastIdentifier: UInt32 = 0
    /// Requests the core has not answered yet.
    var pendingRequests = 0
    /// The turn it was last used in, for choosing whom to forget.
    var lastUse: UInt64 = 0

    /// The core's end.
    let link = CoreLink()

    init(credentials: ClientCredentials, endpoint: Endpoint) {
        self.credentials = credentials
        self.endpoint = endpoint
    }

    /// Nothing would be lost if it were disconnected.
    var isIdle: Bool { subscriptions.isEmpty && pendingRequests == 0 }

    /// A registration for that filter goes to the core.
    ///
    /// - Returns: the identifier of its subscription, and whether there was one already.
    func use(_ filter: String) -> (identifier: UInt32, isRefresh: Bool) {
        if let identifier = identifiers[filter] {
            subscriptions[identifier]?.users += 1
            return (identifier, true)
        }
        // 1 to 268,435,455 (MQTT 5.0 §3.8.2.1.2).
        repeat { lastIdentifier = lastIdentifier % 268_435_455 + 1 } while subscriptions[lastIdentifier] != nil
        identifiers[filter] = lastIdentifier
        subscriptions[lastIdentifier] = Subscription(filter: filter, users: 1)
        return (lastIdentifier, false)
    }

    /// A registration or observation is over.
    ///
    /// - Returns: the filter to unsubscribe when nobody uses it any more.
    func endUse(of identifier: UInt32) -> String? {
        guard let subscription = subscriptions[identifier] else { return nil }
        guard subscription.users <= 1 else {
            subscriptions[identifier]?.users -= 1
            return nil
        }
        subscriptions[identifier] = nil
        identifiers[subscription.filter] = nil
        return subscription.filter
    }
}

/// The core's end of a client: its virtual connection.
///
/// Touched on the core loop only.
final class CoreLink {
    var connection: VirtualConnection?
    /// The connection whose CONNECT is being looked at.
    var connecting: VirtualConnection?
    /// To be told the answer to it.
    var waiting: [(VirtualConnection, ReasonCode) -> Void] = []
    var generation: UInt32 = 0
}
