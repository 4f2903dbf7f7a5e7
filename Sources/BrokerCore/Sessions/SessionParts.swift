import DequeModule
import MQTTCodec
import NIOCore

/// The names of a session, and of the publisher of its messages.
struct SessionNames {
    /// The name in the registry, unless the session is `isNameless`; one that an earlier version stored may be
    /// renamed.
    var name: SessionName
    let number: SessionNumber
    /// The publisher of its messages.
    let publisherID: PublisherID
    /// The authenticated user name; nil when anonymous.
    var userName: String?
    /// Whether only its own connection can find it.
    var isNameless = false
    /// Whether it is for a single short request.
    var isTransient = false
    /// Whether it was stored by a version in which webhooks and clients shared one set of names.
    var isFromSharedNames = false

    init(name: SessionName, number: SessionNumber, publisherID: PublisherID) {
        self.name = name
        self.number = number
        self.publisherID = publisherID
    }
}

/// The connected client of a session, and its limits.
struct AttachedClient {
    var connection: VirtualConnection?
    /// The connection's outlet if it takes MQTT bytes; kept here to save two loads on the hot path.
    var stream: PacketStream?
    /// The connection's outlet if it takes messages.
    var sink: MessageSink?
    /// The client's Receive Maximum, after our own limit.
    var receiveMaximum = 65_535
    /// Bytes of unacknowledged messages at which no more are sent.
    var inflightBytes = Int.max
}

/// The order of a session's deliveries, and the deliveries that are missing in it.
struct DeliveryOrder {
    var nextSequence: UInt64 = 0
    /// The last delivery that has ended without the client's acknowledgement, or was dropped from the queue; see
    /// `Broker.takeForRead`.
    var takenForRead: UInt64 = 0
    /// Messages dropped from its queue that are not yet reported to a gateway's client.
    var lost = 0
    /// The messages that its full queue has dropped; nil as long as there are none.
    var overflow: QueueOverflow?
    /// Whether messages are being dropped until its queue is within its limits; see `Broker.makeRoom`.
    var isMakingRoom = false
}

/// The stored state of a session, and the batches that its client waits for.
struct SessionStorage {
    /// Whether the session is in the store.
    var isStored = false
    /// The last batch with a change that the client waits for.
    var lastBatch: UInt64 = 0
    /// The batch that its CONNACK waits for: it stores the session for the first time, or removes a former one.
    var firstBatch: UInt64 = 0
    /// Unacknowledged deliveries of a former process, in order; read back when the client returns.
    var inflight: [StoredInflight] = []
    /// Bytes in memory of these deliveries once they are read back.
    var inflightBytes = 0
}

/// Messages of a session that are being read back from the store.
struct SessionLoading {
    var isLoading = false
    /// Called once the messages have been read back, can't be read, or are not needed any more.
    var waiting: [() -> Void] = []
    /// The client's last delivery by its own report, while deliveries are being read back; see `Broker.resume`.
    var acknowledgedSequence: UInt64?
    /// Reads again after a failure.
    var retryTimer: TimerQueue.Entry?
}

/// The subscriptions of a session, and the retained messages that are still to be sent for them.
struct SessionInterest {
    /// Retained messages that are still to be sent, subscription by subscription.
    var retainedDeliveries: Deque<RetainedDelivery> = []
    /// Whether a piece of work is scheduled that sends them.
    var isDeliveringRetained = false
    var subscriptions = ByteExactDictionary<Subscription>()
    var shares = SessionShares()
}

/// Notes of the router about a session.
struct RoutingNotes {
    /// The generation of the authorizer's answers for pending messages; see `Broker.mayHave`.
    var rightsGeneration: UInt64 = 0
    /// The last delivery for which the authorizer is to be asked again.
    var doubtfulThrough: UInt64 = 0
    /// The number of the last match, and the session's index in its result; see `Route.merge`.
    var matching: UInt64 = 0
    var position = 0
}

/// The memory that is counted for a session, and its holder; see `Broker+Accounts`.
struct SessionCount {
    var queued = 0
    var sharedQueued = 0
    var holder = Holder.nobody
    /// Whether it is counted as a session that outlives its connection.
    var isLasting = false
    var bytes = 0
    /// Bytes in memory of its subscriptions.
    var subscriptionBytes = 0
}

/// The incomplete QoS 2 messages of a session's client, and its publish rate.
struct InboundState {
    /// QoS 2 Packet Identifiers received and not yet released [MQTT-4.3.3-10].
    var received: Set<PacketID> = []
    /// Made when it is needed; transient sessions share their client's.
    var publishRate: PublishRate?
}

/// How long a session lasts, and its will.
struct SessionLife {
    /// Whether it has ended: nothing is delivered to it, and a pending answer for it is ignored.
    var hasEnded = false
    /// Session Expiry Interval in seconds; 0 ends the session with its connection, `UInt32.max` never ends it.
    var expiryInterval: UInt32 = 0
    /// The time at which the session ends, while it has no connection.
    var expiresAt = NIODeadline.distantFuture
    /// Checks whether the session has expired, at `expiresAt` or before.
    var expiryTimer: TimerQueue.Entry?
    var will: Will? {
        get { if case .left(let will) = ownWill { will } else { nil } }
        set {
            ownWill = newValue.map(OwnWill.left) ?? .none
            willCost = newValue?.cost ?? 0
        }
    }
    private(set) var willCost = 0
    private var ownWill = OwnWill.none

    /// A separate block of memory, since it is large and most sessions have no will.
    private indirect enum OwnWill {
        case none
        case left(Will)
    }

    /// When the will of a lost connection is published.
    var willDueAt: NIODeadline?
    /// Checks whether the will is due, at `willDueAt` or before.
    var willTimer: TimerQueue.Entry?
    /// Removes expired messages from the queue.
    var messageTimer: TimerQueue.Entry?

    // Its neighbours in the list of `IdleSessions`.
    var idleOwner: Holder.Key?
    var idleBefore: Session?
    var idleAfter: Session?
}
