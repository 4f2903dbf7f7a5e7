import MQTTCodec

/// The Session State of one client (MQTT 5.0 §4.1), as the standard has it.
final class ModelSession {
    /// A message sent and not acknowledged.
    struct Inflight {
        let packetID: PacketID
        let copy: Copy
        /// PUBREC has come.
        var isReleased = false
        /// Its PUBLISH was sent on the present connection, and so uses its send quota (MQTT 5.0 §4.9).
        var usesQuota = true
    }

    struct Subscribed {
        let filter: TopicFilter
        var options: SubscriptionOptions
        var identifier: UInt32?
    }

    struct Will {
        let text: String
        let wanted: Schedule.WillWanted
        /// Milliseconds; nil while the client is connected.
        var dueAt: Int64?
    }

    let client: Int
    private let hasBoundedQueue: Bool
    var connection: ModelConnection?
    /// Whether a crash leaves its messages; so it is from the first connection on that it is to outlive.
    var isStored = false
    /// Seconds; `UInt32.max` is for ever.
    var expiryInterval: UInt32 = 0
    /// Milliseconds; nil while connected, or for ever.
    var expiresAt: Int64?
    var will: Will?
    /// By the filter as it was written.
    var subscriptions: [String: Subscribed] = [:]
    var inflight: [Inflight] = []
    var queue = DueCopies()
    var owed = OwedRetained()
    /// Packet Identifiers of QoS 2 messages received and not released.
    var received: [PacketID] = []
    /// So many copies of a bounded queue have been sent in this step already, and are not in the way of new ones.
    var sentAhead = 0

    init(client: Int, hasBoundedQueue: Bool) {
        self.client = client
        self.hasBoundedQueue = hasBoundedQueue
    }

    /// Messages of a former connection that are still to be sent again.
    var unsentCount: Int { inflight.count { !$0.usesQuota && !$0.isReleased } }
    /// What is left of the send quota.
    var quota: Int { (connection?.receiveMaximum ?? 0) - inflight.count { $0.usesQuota } }

    /// Whether the broker has to send the next message that waits.
    ///
    /// It may do so as soon as there is quota; it may wait, too, while as many messages are in flight as the client
    /// takes, those of former connections counted in.
    var mustSend: Bool {
        guard let connection, connection.isWritable else { return false }
        return unsentCount <= max(0, quota) && inflight.count + sentAhead < connection.receiveMaximum
    }

    /// What is too large to be sent again on this connection is dropped as its turn comes [MQTT-3.1.2-25].
    func dropTooLarge() {
        while connection?.takesSmallOnly == true, quota > 0,
            let next = inflight.firstIndex(where: { !$0.usesQuota && !$0.isReleased }),
            inflight[next].copy.message.isLarge
        {
            inflight.remove(at: next)
        }
    }

    /// Counts what leaves a bounded queue at once.
    func sendAhead() {
        guard hasBoundedQueue else { return }
        while mustSend, sentAhead < queue.count { sentAhead += 1 }
    }

    /// The session has no state any more.
    func loseMessages() {
        queue.lose()
        owed = OwedRetained()
        inflight = []
    }
}

/// One network connection of a client.
final class ModelConnection {
    let client: Int
    let version: ProtocolVersion
    /// After the broker's own limit.
    let receiveMaximum: Int
    let takesSmallOnly: Bool
    let topicAliasMaximum: UInt16
    /// Milliseconds; nil without Keep Alive.
    let keepAliveTimeout: Int64?
    /// Milliseconds.
    var heardAt: Int64
    var isWritable = true
    /// The broker has closed it.
    var isClosed = false
    /// The client has left: what still comes is not looked at.
    var isOver = false
    /// Everything but PUBLISH that is on its way to the client.
    var answers: [Answer] = []
    /// Messages at QoS 0 that are on their way.
    var atMostOnce = DueCopies()

    init(_ client: Int, _ wanted: Schedule.Connecting, _ setting: Schedule.Setting, now: Int64) {
        let isVersion5 = wanted.version == .v5
        self.client = client
        version = wanted.version
        receiveMaximum = min(isVersion5 ? Int(wanted.receiveMaximum ?? .max) : .max, setting.inflightMessages)
        takesSmallOnly = isVersion5 && wanted.takesSmallOnly
        topicAliasMaximum = wanted.topicAliasMaximum ?? 0
        keepAliveTimeout = wanted.keepAlive == 0 ? nil : Int64(wanted.keepAlive) * 1_500
        heardAt = now
    }

    /// Whether what is sent arrives, or has arrived before the end.
    var isReadable: Bool { isWritable || isClosed }
}

/// A packet from the broker other than PUBLISH; where there is a choice, with all Reason Codes it may have.
enum Answer {
    case connack(sessionPresent: Bool)
    case acknowledgement(PacketType, PacketID, [ReasonCode])
    case suback(PacketID, [ReasonCode])
    case unsuback(PacketID, [ReasonCode])
    case pingresp
    case disconnect(ReasonCode)

    func allows(_ packet: Packet) -> Bool {
        switch (self, packet) {
        case (.connack(let sessionPresent), .connack(let connack)):
            connack.reasonCode == .success && connack.sessionPresent == sessionPresent
        case (.acknowledgement(let type, let id, let reasons), .puback(let ack)),
            (.acknowledgement(let type, let id, let reasons), .pubrec(let ack)),
            (.acknowledgement(let type, let id, let reasons), .pubrel(let ack)),
            (.acknowledgement(let type, let id, let reasons), .pubcomp(let ack)):
            packet.type == type && ack.packetID == id && reasons.contains(ack.reasonCode)
        case (.suback(let id, let reasons), .suback(let suback)):
            suback.packetID == id && suback.reasonCodes == reasons
        case (.unsuback(let id, let reasons), .unsuback(let unsuback)):
            unsuback.packetID == id && unsuback.reasonCodes == reasons
        case (.pingresp, .pingresp): true
        case (.disconnect(let reason), .disconnect(let disconnect)): disconnect.reasonCode == reason
        default: false
        }
    }
}
