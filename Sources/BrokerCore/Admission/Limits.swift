/// What one broker grants to its clients; every bound of the core is here.
package struct Limits: Equatable, Sendable {
    /// Virtual connections at a time, all protocols together.
    ///
    /// Of one address and one user half of them, unless the shares say something else; so it is with all that have shares.
    package var connections = 100_000
    package var connectionShares = Shares()
    /// Sessions that outlive their connections; those that don't are bounded by `connections`.
    package var sessions = 1_000_000
    package var sessionShares = Shares()
    /// Bytes in memory of all sessions without their messages: names, subscriptions, Topic Filters, wills.
    package var sessionBytes = 1_073_741_824
    package var sessionByteShares = Shares()
    /// Bytes in memory of all sessions' QoS 1 and 2 messages: queued, sent and not acknowledged, in the store alone.
    package var queuedBytes = 1_610_612_736
    package var queuedByteShares = Shares()
    /// Bytes encoded or handed over for clients, and not taken by their network connections yet.
    package var bufferBytes = 1_073_741_824
    package var bufferByteShares = Shares()
    /// Bytes of the largest MQTT packet, and of the largest body a gateway takes [MQTT-3.2.2-15].
    package var maximumPacketSize = 1_048_576
    /// How much one session holds for its client.
    package var queue = QueueLimits()
    /// QoS 1 and 2 publishes one client may have unacknowledged, 1 to 65,535 (MQTT 5.0 §3.2.2.3.3).
    package var receiveMaximum = 20
    /// QoS 1 and 2 messages one client is sent unacknowledged, at most; its own Receive Maximum may be lower.
    package var inflightMessages = 1_000
    /// Topic Aliases each way on one connection, 0 to 65,535; the client's own Topic Alias Maximum may be lower.
    package var topicAliasMaximum = 10
    /// The highest QoS served: 0, 1 or 2.
    package var maximumQoS = 2
    /// Whether RETAIN is served.
    package var retainAvailable = true
    /// Seconds; a client that asks for more, or for none, gets this (Server Keep Alive).
    ///
    /// 65,535 grants anything.
    package var keepAliveMaximum = 65_535
    /// Seconds a session may outlive its connection; 4,294,967,295 is for ever.
    package var sessionExpiryMaximum = 4_294_967_295
    /// Retained messages, all topics together.
    package var retainedMessages = 1_000_000
    package var retainedMessageShares = Shares()
    /// Bytes in memory of them and of the tree of their topics.
    package var retainedBytes = 1_073_741_824
    package var retainedByteShares = Shares()
    /// Subscriptions of one session.
    package var subscriptionsPerSession = 1_000
    /// Topic Filters in one SUBSCRIBE or UNSUBSCRIBE, or what is the same in another protocol.
    package var filtersPerPacket = 1_000
    /// Levels of a Topic Filter, and of the Topic Name of a retained message.
    package var topicLevels = 200
    /// CONNECT packets a second that are let in, all MQTT clients together; 0 is any number.
    package var connectionRate = 0
    /// Messages a second one client may publish; 0 is any number.
    ///
    /// One that sends more is disconnected (MQTT), or what it sends is refused (gateways). Transient connections of one user
    /// at one address count as one client.
    package var publishRate = 0
    /// Whether a payload that is said to be UTF-8 text must be (MQTT 5.0 §3.3.2.3.2).
    package var validatesPayloadFormat = false
    /// Bytes that network connections keep of packets and requests that are not whole, and of HTTP answers that are not
    /// read.
    package var connectionBytes = 268_435_456
    /// Seconds a new network connection has to send its CONNECT.
    package var connectTimeout = 10

    /// Bytes of changes that gather while the store writes, at which what needs it is refused.
    package static let unwrittenBytes = 67_108_864
    /// Bytes of a Topic Alias on a connection, both ways.
    package static let topicAliasBytes = 2 * OutboundTopicAliases.cost
    /// Bytes of routes that are remembered.
    package static let routeCacheBytes = RouteCache.maximumBytes

    package init() {}

    /// Others than those of queues are as usual.
    package init(queue: QueueLimits) { self.queue = queue }
}

/// What one address and one user may have of something that is for all; 0 is half of it.
package struct Shares: Equatable, Sendable {
    package var perAddress = 0
    package var perUser = 0

    package init(perAddress: Int = 0, perUser: Int = 0) {
        self.perAddress = perAddress
        self.perUser = perUser
    }
}

/// How many messages a session may hold for its client, and what happens to the next one.
package struct QueueLimits: Equatable, Sendable {
    /// What gives way when a session's queue is full.
    package enum Policy: String, Sendable, CaseIterable {
        case dropOldest = "drop_oldest"
        case dropNewest = "drop_newest"
        case disconnect
    }

    /// Messages queued for one session.
    package var messages = 1_000
    /// Bytes in memory of what is queued for one session, and of what is sent and not acknowledged.
    package var bytes = 10_485_760
    /// What gives way.
    package var whenFull = Policy.dropOldest

    package init() {}
}
