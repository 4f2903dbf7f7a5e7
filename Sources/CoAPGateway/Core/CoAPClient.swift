import BrokerCore
import DequeModule
import MQTTCodec
import NIOCore

/// One MQTT client: the credentials it uses, its subscriptions, and its virtual connection.
///
/// Without a session it belongs to one endpoint, and the first request that needs it connects on its behalf, again after
/// the core ended the connection. With one (`/mqtt/connection`) it belongs to whoever knows its token, wherever that is.
/// Each connection is a generation, so that what belongs to an old one is told apart.
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
    /// Where it was when it came first, and who the transport said it was.
    let remoteAddress: String
    let identity: String?
    /// What a client with a session asked for; nil without one.
    let session: CoAPSession?
    /// Whose shares it uses.
    let holder: Holder
    /// Where it is now; nil when that is not known.
    var endpoint: Endpoint?

    /// By Subscription Identifier.
    @exclusivity(unchecked) var subscriptions: [UInt32: Subscription] = [:]
    private var identifiers: [ExactText: UInt32] = [:]
    /// Requests the core has not answered yet.
    @exclusivity(unchecked) var pendingRequests = 0
    /// The turn it was last used in, for choosing whom to forget.
    @exclusivity(unchecked) var lastUse: UInt64 = 0
    /// Whether it is one of those that may be disconnected, and its last use as far as they know.
    @exclusivity(unchecked) var isListedIdle = false
    var listedUse: UInt64 = 0
    /// Whether its endpoint has it no more.
    @exclusivity(unchecked) var isForgotten = false
    /// Of the connection that was last heard of.
    var generation: UInt32 = 0

    /// The core's end.
    let link = CoreLink()

    init(credentials: ClientCredentials, endpoint: Endpoint, session: CoAPSession? = nil) {
        self.credentials = credentials
        self.endpoint = endpoint
        self.session = session
        remoteAddress = endpoint.origin.remoteAddress
        holder = endpoint.origin.holder
        identity = endpoint.origin.identity
    }

    /// Nothing would be lost if it were disconnected.
    var isIdle: Bool { subscriptions.isEmpty && pendingRequests == 0 }

    /// Whether subscriptions and messages outlive observations.
    var isPersistent: Bool { session?.isPersistent ?? false }

    /// All of them, wherever they are.
    var observations: [Observation] { subscriptions.values.flatMap(\.observations) }

    /// A registration for that filter goes to the core.
    ///
    /// The identifier is always the same for a filter: messages that wait in a session of the core for longer than this
    /// client is known still say it.
    ///
    /// - Returns: the identifier of its subscription, and whether there was one already.
    func use(_ filter: String) -> (identifier: UInt32, isRefresh: Bool) {
        let name = ExactText(filter)
        if let identifier = identifiers[name] {
            subscriptions[identifier]?.users += 1
            return (identifier, true)
        }
        // 1 to 268,435,455 (MQTT 5.0 §3.8.2.1.2).
        var identifier = UInt32(PublisherID(clientID: filter).rawValue % 268_435_455) + 1
        while subscriptions[identifier] != nil { identifier = identifier % 268_435_455 + 1 }
        identifiers[name] = identifier
        subscriptions[identifier] = Subscription(filter: filter, users: 1)
        return (identifier, false)
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
        identifiers[ExactText(subscription.filter)] = nil
        return subscription.filter
    }
}

/// What a session of `/mqtt/connection` has beside its virtual connection.
final class CoAPSession {
    /// What it was made with.
    let request: ConnectRequest
    /// What proves to be its client.
    let token: String
    /// Messages that wait for an observation, or for their client to be heard of again; oldest first.
    ///
    /// The core's Receive Maximum bounds them; more wait in the core.
    var parked: Deque<DeliveryTicket> = []
    /// A request that waits for a message.
    var waiter: Exchange?
    /// When it is forgotten, once the core has ended its connection.
    var expiresAt = NIODeadline.distantFuture

    init(request: ConnectRequest) {
        self.request = request
        token =
            String(UInt64.random(in: .min ... .max), radix: 36) + String(UInt32.random(in: .min ... .max), radix: 36)
    }

    var isPersistent: Bool { request.sessionExpiryInterval > 0 }

    /// Whether that is the token; takes the same time wherever they differ.
    func proves(_ shown: String) -> Bool {
        let (own, shown) = (Array(token.utf8), Array(shown.utf8))
        guard own.count == shown.count else { return false }
        return zip(own, shown).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
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
    /// Whether the last CONNECT found a session.
    var sessionPresent = false
    /// The session of the last connection.
    var sessionNumber = SessionNumber.none
    /// Whether there was a connection before.
    var hasConnected = false
    /// Whether it was disconnected on the word of the CoAP thread, which has forgotten the client: nobody would end another
    /// connection.
    var isOver = false
}
