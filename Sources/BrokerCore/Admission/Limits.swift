/// The limits of one broker for its clients; every bound of the core is here.
package struct Limits: Equatable, Sendable {
    /// Virtual connections at a time, in all protocols together.
    ///
    /// One address and one user may have half of them, unless the shares are set; the same applies to all limits with
    /// shares.
    package var connections = 100_000
    package var connectionShares = Shares()
    /// Sessions that outlive their connections; `connections` bounds the others.
    package var sessions = 1_000_000
    package var sessionShares = Shares()
    /// Bytes in memory of all sessions without their messages: names, subscriptions, Topic Filters, wills.
    package var sessionBytes = 1_073_741_824
    package var sessionByteShares = Shares()
    /// Bytes in memory of all sessions' QoS 1 and 2 messages: queued, sent and not acknowledged, or in the store
    /// alone.
    package var queuedBytes = 1_610_612_736
    package var queuedByteShares = Shares()
    /// Bytes encoded or handed over for clients that their network connections have not accepted yet.
    package var bufferBytes = 1_073_741_824
    package var bufferByteShares = Shares()
    /// Bytes of the largest MQTT packet, and of the largest body a gateway takes [MQTT-3.2.2-15].
    package var maximumPacketSize = 1_048_576
    /// The limits of one session's queue.
    package var queue = QueueLimits()
    /// QoS 1 and 2 publishes one client may have unacknowledged, 1 to 65,535 (MQTT 5.0 §3.2.2.3.3).
    package var receiveMaximum = 20
    /// QoS 1 and 2 messages that one client may have unacknowledged, at most; its own Receive Maximum may be lower.
    package var inflightMessages = 1_000
    /// Topic Aliases in each direction on one connection, 0 to 65,535; the client's own Topic Alias Maximum may be
    /// lower.
    package var topicAliasMaximum = 10
    /// Maximum QoS: 0, 1 or 2.
    package var maximumQoS = 2
    /// Whether retained messages are supported.
    package var retainAvailable = true
    /// Seconds; a client that asks for a longer Keep Alive, or for none, gets this one (Server Keep Alive).
    ///
    /// 65,535 accepts any Keep Alive.
    package var keepAliveMaximum = 65_535
    /// Seconds that a session may outlive its connection; 4,294,967,295 is for ever.
    package var sessionExpiryMaximum = 4_294_967_295
    /// Retained messages of all topics together.
    package var retainedMessages = 1_000_000
    package var retainedMessageShares = Shares()
    /// Bytes in memory of retained messages and of the tree of their topics.
    package var retainedBytes = 1_073_741_824
    package var retainedByteShares = Shares()
    /// Subscriptions of one session.
    package var subscriptionsPerSession = 1_000
    /// Topic Filters in one SUBSCRIBE or UNSUBSCRIBE, or in the equivalent request of another protocol.
    package var filtersPerPacket = 1_000
    /// Levels of a Topic Filter, and of the Topic Name of a retained message.
    package var topicLevels = 200
    /// CONNECT packets a second of all MQTT clients together; 0 is unlimited.
    package var connectionRate = 0
    /// Messages a second that one client may publish; 0 is unlimited.
    ///
    /// A client that sends more is disconnected (MQTT), or its messages are refused (gateways). Transient connections
    /// of one user at one address count as one client.
    package var publishRate = 0
    /// Whether a payload that is declared as UTF-8 is checked (MQTT 5.0 §3.3.2.3.2).
    package var validatesPayloadFormat = false
    /// Bytes that network connections keep of incomplete packets and requests, and of HTTP answers that are not read.
    package var connectionBytes = 268_435_456
    /// Seconds within which a new network connection has to send its CONNECT.
    package var connectTimeout = 10

    /// Bytes of unwritten changes at which requests that need the store are refused.
    package static let unwrittenBytes = 67_108_864
    /// Bytes of a Topic Alias on a connection, in both directions.
    package static let topicAliasBytes = 2 * OutboundTopicAliases.cost
    /// Bytes of cached routes.
    package static let routeCacheBytes = RouteCache.maximumBytes

    package init() {}

    /// Default limits with the given limits of a queue.
    package init(queue: QueueLimits) { self.queue = queue }
}

/// The shares of one address and of one user in a limit; 0 is half of it.
package struct Shares: Equatable, Sendable {
    package var perAddress = 0
    package var perUser = 0

    package init(perAddress: Int = 0, perUser: Int = 0) {
        self.perAddress = perAddress
        self.perUser = perUser
    }
}

/// The limits of one session's queue, and its policy for the next message.
package struct QueueLimits: Equatable, Sendable {
    /// The policy of a full queue.
    package enum Policy: String, Sendable, CaseIterable {
        case dropOldest = "drop_oldest"
        case dropNewest = "drop_newest"
        case disconnect
    }

    /// Messages queued for one session.
    package var messages = 1_000
    /// Bytes in memory of one session's queued messages, and the same for its unacknowledged messages.
    package var bytes = 10_485_760
    /// The policy of a full queue.
    package var whenFull = Policy.dropOldest

    package init() {}
}
