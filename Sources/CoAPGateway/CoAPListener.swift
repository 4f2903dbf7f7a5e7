package import BrokerCore
package import CoreRuntime

/// Listens for CoAP over UDP, DTLS, TCP or TLS and serves MQTT topics as CoAP resources (RFC 7252, RFC 7641, RFC 7959,
/// RFC 8323).
///
/// Served by a thread of its own; what it receives becomes calls on the core, one batch each way.
package struct CoAPListener: Sendable {
    /// Where to listen, and the bounds of what one endpoint or all of them may hold.
    package struct Configuration: Sendable {
        /// What carries the messages.
        package enum Transport: Sendable {
            /// Datagrams, in DTLS if there is security (RFC 7252).
            case udp
            /// Connections, in TLS if there is security (RFC 8323).
            case tcp
        }

        /// An IPv4 or IPv6 address.
        package var host: String
        /// 0 takes any free port.
        package var port: Int
        package var transport = Transport.udp
        /// Encrypts; nil listens in the clear.
        package var security: CoAPSecurity?
        /// Serves `coap://host/{topic}` besides `/ps/{topic}` and `/r/{topic}`.
        package var bareTopics = false
        /// Milliseconds the core has to answer before the request is acknowledged and its response sent separately
        /// (RFC 7252 §5.2.2).
        package var separateResponseAfter = 500
        /// Milliseconds before an unacknowledged confirmable message is sent again, ACK_TIMEOUT (RFC 7252 §4.8).
        ///
        package var acknowledgeTimeout = 2_000
        /// How often it is sent again, MAX_RETRANSMIT (RFC 7252 §4.8); at least once.
        package var maximumRetransmissions = 4
        /// Confirmable messages to one endpoint that may wait for their acknowledgement at a time, NSTART (RFC 7252 §4.7).
        ///
        /// Above 1 a message that is lost is overtaken by those after it, and at most so many QoS 1 and 2 messages come
        /// again when the endpoint is elsewhere.
        package var nstart = 1
        /// Seconds an endpoint without observations is remembered.
        package var idleTimeout = 300
        /// Endpoints without observations remembered at a time; the one idle longest gives way.
        ///
        /// On `udp` in the clear at most half of them are endpoints that were heard once.
        ///
        /// On `tcp`: connections, and the newest gives way.
        package var idleEndpoints = 50_000
        /// Handshakes of DTLS under way.
        package var handshakes = 4_096
        /// Virtual connections of one endpoint: one for each client identifier and credentials it uses.
        package var clientsPerEndpoint = 8
        /// Virtual connections of all endpoints that wait for requests to come; the one that waits longest gives way.
        ///
        /// Where there are as many as idle endpoints, each endpoint keeps its own: that is bounded with the endpoints, of which
        /// strangers never push out known ones.
        package var idleClients = 50_000
        /// Whether a request from an address that has not proven to be the sender's gets 4.01 with an Echo option, and
        /// nothing is remembered of it (RFC 9175 §2.3); on `udp` in the clear.
        ///
        /// Where it is not, such an address gets at most three times the bytes that have come from it (RFC 9175 §2.4).
        package var asksForEcho = false
        /// Sessions of `/mqtt/connection`.
        package var sessions = 100_000
        /// Publishes with an idempotency key that are remembered, for an hour.
        package var rememberedPublishes = 100_000
        /// Bytes of their keys.
        package var rememberedPublishBytes = 67_108_864
        /// Observations of one endpoint.
        package var observationsPerEndpoint = 64
        /// Observations of all endpoints.
        package var observations = 100_000
        /// Seconds without a confirmable notification after which the next one is confirmable whatever its QoS, so that
        /// an endpoint that has gone is noticed; at most a day (RFC 7641 §4.5).
        package var confirmationInterval = 300
        /// Answers kept for each endpoint to tell and answer duplicate requests (RFC 7252 §4.5).
        package var rememberedMessages = 64
        /// More of them, of all endpoints together; half of these are kept for endpoints whose addresses are proven.
        package var furtherMessages = 262_144
        /// Requests handed to the core and not yet answered; the next one is refused with 5.03.
        package var pendingRequests = 10_000
        /// Block-wise transfers of one endpoint at a time, each way.
        package var transfersPerEndpoint = 4
        /// Bytes of all unfinished uploads together.
        package var uploadBytes = 67_108_864
        /// Bytes of all bodies together that are kept while they are fetched in blocks.
        package var downloadBytes = 67_108_864
        /// Seconds an unfinished block-wise transfer is kept, MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2).
        package var blockwiseTimeout = 93
        /// Milliseconds notifications wait for the next block of the last one to be fetched.
        package var fetchPause = 3_000
        /// QoS 1 and 2 messages of one client on their way to its endpoint; the core's queue holds the rest.
        package var receiveMaximum = 16
        /// Messages of one client on their way to its endpoint beyond which QoS 0 is dropped.
        package var notificationQueue = 1_000
        /// Bytes of them beyond which QoS 0 is dropped and the core's queue holds the rest, give or take one message.
        package var notificationBytes = 1_048_576

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// What its URLs begin with (RFC 7252 §6, RFC 8323 §8).
        var scheme: String { (security == nil ? "coap" : "coaps") + (transport == .tcp ? "+tcp" : "") }
    }

    private let configuration: Configuration
    private let core: CoreLoop
    private let limits: Limits
    private let places: SocketPlaces
    private let bytes: ConnectionBytes
    private let refusals: Refusals
    private let events: EventLog

    /// Makes a listener; nothing happens before `listen`.
    ///
    /// - Parameters:
    ///   - limits: what the broker grants; the largest body is its Maximum Packet Size.
    ///   - places: places for network connections, which it shares with other listeners.
    ///   - bytes: what connections may keep, which it shares, too.
    ///   - refusals: told of what is refused because a limit is reached.
    package init(
        configuration: Configuration,
        core: CoreLoop,
        limits: Limits,
        places: SocketPlaces = SocketPlaces(Quota.Limit(total: 100_000)),
        bytes: ConnectionBytes = ConnectionBytes(Quota.Limit(total: 268_435_456)),
        refusals: Refusals = Refusals(),
        events: EventLog = .silent
    ) {
        self.places = places
        self.bytes = bytes
        self.refusals = refusals
        self.configuration = configuration
        self.core = core
        self.limits = limits
        self.events = events
    }

    /// Begins to listen, on a thread of its own.
    ///
    /// - Throws: when the address can't be had.
    package func listen() throws(ListenFailed) -> Listening {
        switch configuration.transport {
        case .udp: return try serve(DatagramLayer(configuration, refusals))
        case .tcp:
            let shared = ConnectionLayer.Shared(places: places, bytes: bytes, refusals: refusals)
            return try serve(ConnectionLayer(configuration, limits: limits, shared: shared))
        }
    }

    private func serve(_ layer: some ServedLayer) throws(ListenFailed) -> Listening {
        let port = layer.port
        let loop = CoAPLoop(
            layer,
            configuration: configuration,
            core: core,
            limits: limits,
            refusals: refusals,
            events: events
        )
        guard let serving = loop.start() else {
            layer.close()
            throw configuration.listenFailed("no thread could be had")
        }
        events.note(.listenerBound, [.protocolName(configuration.scheme), .address(configuration.host), .port(port)])
        return Listening(port: port, inbox: loop.inbox, serving: serving)
    }

    /// An address that is listened on.
    ///
    /// It stops in two steps, `stopAccepting` and `drain`; between them the core takes leave of its clients, so that what it
    /// ends by itself publishes its will.
    package struct Listening: Sendable {
        /// The port, which the system may have chosen.
        package let port: Int
        fileprivate let inbox: CoreInbox
        fileprivate let serving: Task<Void, Never>

        /// Waits until nobody is served any more.
        package func ended() async { await serving.value }

        /// Answers requests that come from now on with 5.03, and accepts no connections.
        package func stopAccepting() { inbox.append(.stopAccepting) }

        /// Answers what was asked before, takes leave of every observer, and waits until that is done or takes too long.
        package func drain() async {
            inbox.append(.shutdown)
            await serving.value
        }
    }
}

extension CoAPListener.Configuration {
    /// Why its address can't be listened on.
    func listenFailed(_ reason: String) -> ListenFailed {
        ListenFailed(protocolName: scheme, address: "\(host):\(port)", reason: reason)
    }
}
