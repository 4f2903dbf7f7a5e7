import DequeModule
import MQTTCodec
import NIOCore

/// The Session State of one Client Identifier (MQTT 5.0 §4.1); it outlives the virtual connection when it must.
final class Session: @unchecked Sendable {
    // Sendable so that it can wait for the store; nothing but the core loop looks inside.

    // First what deliveries look at: it lies in a few lines of cache.
    /// The client, while it is connected.
    @exclusivity(unchecked) var connection: VirtualConnection?
    /// The connection's outlet when it takes MQTT bytes; kept here to spare the hot path two loads.
    @exclusivity(unchecked) var stream: PacketStream?
    /// The connection's outlet when it takes messages.
    @exclusivity(unchecked) var sink: MessageSink?
    @exclusivity(unchecked) var queue = OutboundQueue()
    @exclusivity(unchecked) var window = InflightWindow()
    /// Retained messages that its subscriptions are still to be sent, one subscription's after the other's.
    @exclusivity(unchecked) var retainedDeliveries: Deque<RetainedDelivery> = []
    /// Deliveries of a former process that were sent and not acknowledged, in order; read back when the client returns.
    @exclusivity(unchecked) var storedInflight: [StoredInflight] = []
    /// What the client takes unacknowledged, after our own limit.
    @exclusivity(unchecked) var receiveMaximum = 65_535
    /// Bytes of messages sent and not acknowledged at which no more are sent.
    @exclusivity(unchecked) var inflightBytes = Int.max
    @exclusivity(unchecked) var nextSequence: UInt64 = 0
    /// The last batch with something in it that the client waits for.
    @exclusivity(unchecked) var lastBatch: UInt64 = 0
    /// Whether the store has it.
    @exclusivity(unchecked) var isStored = false
    /// Whether messages are being read back.
    @exclusivity(unchecked) var isLoading = false
    /// Whether it is over: nothing is delivered to it, and an answer that it has waited for is for nobody.
    @exclusivity(unchecked) var hasEnded = false
    /// Whether its queue is being brought back within its limits; see `Broker.makeRoom`.
    @exclusivity(unchecked) var isMakingRoom = false
    /// What its full queue has dropped; nil as long as that is nothing.
    @exclusivity(unchecked) var overflow: QueueOverflow?
    /// Looks for expired messages in the queue.
    @exclusivity(unchecked) var messageTimer: TimerQueue.Entry?
    @exclusivity(unchecked) var countedQueued = 0
    @exclusivity(unchecked) var sharedQueued = 0

    /// What it is found by, unless it is `isNameless`; one that an earlier version stored may be given another.
    var name: SessionName
    let number: SessionNumber
    /// What its messages are published as.
    let publisherID: PublisherID
    /// Authenticated as; nil when anonymous.
    ///
    /// Whose it is, if that was proven, says `holder`.
    var userName: String?
    /// Whether it was stored by a version whose webhooks had names that clients could have, too.
    var isFromSharedNames = false

    /// Seconds; 0 ends the session with its connection, `UInt32.max` never.
    var expiryInterval: UInt32 = 0
    /// When a session without a connection ends.
    var expiresAt = NIODeadline.distantFuture
    /// Looks whether the session is over, at `expiresAt` or before.
    var expiryTimer: TimerQueue.Entry?
    var will: Will? { didSet { willCost = will?.cost ?? 0 } }
    private(set) var willCost = 0
    /// When the will of a lost connection is published.
    var willDueAt: NIODeadline?
    /// Looks whether the will is due, at `willDueAt` or before.
    var willTimer: TimerQueue.Entry?
    /// The batch that its CONNACK waits for: it is stored for the first time, or a former session is removed.
    var firstBatch: UInt64 = 0
    /// What the client says it has, while those deliveries are being read back; see `Broker.resume`.
    var acknowledgedSequence: UInt64?
    /// Whether it will be its turn to be sent some.
    var isDeliveringRetained = false
    /// Tries again to read messages back.
    var loadTimer: TimerQueue.Entry?

    // What is counted for it, and for whom; see `Broker+Accounts`.
    var holder = Holder.nobody
    /// Whether it is counted among the sessions that last.
    var isCounted = false
    var countedBytes = 0
    /// Bytes in memory of its subscriptions.
    var subscriptionBytes = 0
    /// Bytes in memory that `storedInflight` will take when it is read back.
    @exclusivity(unchecked) var storedInflightBytes = 0

    // Its place among `IdleSessions`.
    var idleOwner: Holder.Key?
    var idleBefore: Session?
    var idleAfter: Session?

    /// Whether nobody but its own connection can find it.
    var isNameless = false
    /// Whether it is one request's, which is over in a moment.
    var isTransient = false

    var subscriptions = ByteKeyed<Subscription>()
    var shares = SessionShares()
    /// Messages dropped from its queue that a gateway's client has not been told of yet.
    @exclusivity(unchecked) var lost = 0
    /// Calls back once what is being read back has been, or can't be, or is for nobody any more.
    var whenLoaded: [() -> Void] = []
    /// The last delivery that counts as taken without the client's word, or was dropped from the queue; see
    /// `Broker.takeForRead`.
    var takenForRead: UInt64 = 0
    /// QoS 2 Packet Identifiers received and not yet released [MQTT-4.3.3-10].
    var received: Set<PacketID> = []

    /// Made as it is needed; that of a transient session is its client's.
    var publishRate: PublishRate?

    /// When the authorizer was asked of what waits; see `Broker.mayHave`.
    var rightsGeneration: UInt64 = 0
    /// The last delivery of those of which it is to be asked again.
    @exclusivity(unchecked) var doubtfulThrough: UInt64 = 0

    // Scratch of the matching that is going on; see `Route.merge`.
    @exclusivity(unchecked) var routeMatching: UInt64 = 0
    @exclusivity(unchecked) var routePosition = 0

    init(name: SessionName, number: SessionNumber, publisherID: PublisherID) {
        self.name = name
        self.number = number
        self.publisherID = publisherID
    }

    var clientID: String { name.string }

    /// Whether it outlives its connection.
    var isPersistent: Bool { expiryInterval > 0 }

    /// Whether messages wait until the client or its connection takes more.
    var isWaiting: Bool { !queue.isEmpty || window.hasUnsent || !retainedDeliveries.isEmpty }

    /// Whether messages at QoS 1 and 2 are still to be sent that came before any that comes now.
    var isBehind: Bool { !queue.isEmpty || window.hasUnsent || isLoading || !storedInflight.isEmpty }

    /// Whether the client may be sent one more QoS 1 or 2 message right now: not before what it was sent by a former
    /// process [MQTT-4.6.0-1], whose Packet Identifiers are in use.
    var canSend: Bool {
        window.hasRoom(receiveMaximum: receiveMaximum) && window.bytes < inflightBytes && canTake && !isLoading
            && storedInflight.isEmpty
    }

    /// Whether a QoS 1 or 2 message would be sent right now.
    var isReady: Bool { connection != nil && queue.isEmpty && canSend }

    /// Whether there is a connection that takes more right now.
    var canTake: Bool {
        if let stream { return stream.hasRoomForQueued }
        return sink?.hasRoomForQueued ?? false
    }

    /// Whether it keeps to its publish rate, messages a second.
    func mayPublish(at now: NIODeadline, rate: Int) -> Bool {
        let own = publishRate ?? PublishRate(rate: rate, now: now)
        publishRate = own
        return own.allows(at: now)
    }
}
