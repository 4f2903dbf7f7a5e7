import DequeModule
import MQTTCodec
import NIOCore

/// What a session is found by, and what its messages are published as.
struct SessionNames {
    /// What it is found by, unless it is `isNameless`; one that an earlier version stored may be given another.
    var name: SessionName
    let number: SessionNumber
    /// What its messages are published as.
    let publisherID: PublisherID
    /// Authenticated as; nil when anonymous.
    var userName: String?
    /// Whether nobody but its own connection can find it.
    var isNameless = false
    /// Whether it is one request's, which is over in a moment.
    var isTransient = false
    /// Whether it was stored by a version whose webhooks had names that clients could have, too.
    var isFromSharedNames = false

    init(name: SessionName, number: SessionNumber, publisherID: PublisherID) {
        self.name = name
        self.number = number
        self.publisherID = publisherID
    }
}

/// The client of a session, while it is connected, and what it takes.
struct AttachedClient {
    var connection: VirtualConnection?
    /// The connection's outlet when it takes MQTT bytes; kept here to spare the hot path two loads.
    var stream: PacketStream?
    /// The connection's outlet when it takes messages.
    var sink: MessageSink?
    /// What it takes unacknowledged, after our own limit.
    var receiveMaximum = 65_535
    /// Bytes of messages sent and not acknowledged at which no more are sent.
    var inflightBytes = Int.max
}

/// The order of a session's deliveries, and what is missing in it.
struct DeliveryOrder {
    var nextSequence: UInt64 = 0
    /// The last delivery that counts as taken without the client's word, or was dropped from the queue; see
    /// `Broker.takeForRead`.
    var takenForRead: UInt64 = 0
    /// Messages dropped from its queue that a gateway's client has not been told of yet.
    var lost = 0
    /// What its full queue has dropped; nil as long as that is nothing.
    var overflow: QueueOverflow?
    /// Whether its queue is being brought back within its limits; see `Broker.makeRoom`.
    var isMakingRoom = false
}

/// What the store has of a session, and what its client waits for.
struct SessionStorage {
    /// Whether the store has it.
    var isStored = false
    /// The last batch with something in it that the client waits for.
    var lastBatch: UInt64 = 0
    /// The batch that its CONNACK waits for: it is stored for the first time, or a former session is removed.
    var firstBatch: UInt64 = 0
    /// Deliveries of a former process that were sent and not acknowledged, in order; read back when the client returns.
    var inflight: [StoredInflight] = []
    /// Bytes in memory that they will take when they are read back.
    var inflightBytes = 0
}

/// Messages of a session that are being read back from the store.
struct SessionLoading {
    var isLoading = false
    /// Calls back once what is being read back has been, or can't be, or is for nobody any more.
    var waiting: [() -> Void] = []
    /// What the client says it has, while those deliveries are being read back; see `Broker.resume`.
    var acknowledgedSequence: UInt64?
    /// Tries again.
    var retryTimer: TimerQueue.Entry?
}

/// What a session is subscribed to, and the retained messages that it is still to be sent for that.
struct SessionInterest {
    /// Retained messages that its subscriptions are still to be sent, one subscription's after the other's.
    var retainedDeliveries: Deque<RetainedDelivery> = []
    /// Whether it will be its turn to be sent some.
    var isDeliveringRetained = false
    var subscriptions = ByteKeyed<Subscription>()
    var shares = SessionShares()
}

/// What routing notes of a session.
struct RoutingNotes {
    /// When the authorizer was asked of what waits; see `Broker.mayHave`.
    var rightsGeneration: UInt64 = 0
    /// The last delivery of those of which it is to be asked again.
    var doubtfulThrough: UInt64 = 0
    /// The matching that is going on, and the session's place in its result; see `Route.merge`.
    var matching: UInt64 = 0
    var position = 0
}

/// What is counted for a session, and for whom; see `Broker+Accounts`.
struct SessionCount {
    var queued = 0
    var sharedQueued = 0
    var holder = Holder.nobody
    /// Whether it is counted among the sessions that last.
    var isLasting = false
    var bytes = 0
    /// Bytes in memory of its subscriptions.
    var subscriptionBytes = 0
}

/// What a session's client has sent and not finished, and how much it may send.
struct InboundState {
    /// QoS 2 Packet Identifiers received and not yet released [MQTT-4.3.3-10].
    var received: Set<PacketID> = []
    /// Made as it is needed; that of a transient session is its client's.
    var publishRate: PublishRate?
}

/// How long a session lasts, and its will.
struct SessionLife {
    /// Whether it is over: nothing is delivered to it, and an answer that it has waited for is for nobody.
    var hasEnded = false
    /// Seconds; 0 ends the session with its connection, `UInt32.max` never.
    var expiryInterval: UInt32 = 0
    /// When a session without a connection ends.
    var expiresAt = NIODeadline.distantFuture
    /// Looks whether the session is over, at `expiresAt` or before.
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

    /// In memory of its own: it is large, and most sessions have none.
    private indirect enum OwnWill {
        case none
        case left(Will)
    }

    /// When the will of a lost connection is published.
    var willDueAt: NIODeadline?
    /// Looks whether the will is due, at `willDueAt` or before.
    var willTimer: TimerQueue.Entry?
    /// Looks for expired messages in the queue.
    var messageTimer: TimerQueue.Entry?

    // Its place among `IdleSessions`.
    var idleOwner: Holder.Key?
    var idleBefore: Session?
    var idleAfter: Session?
}
