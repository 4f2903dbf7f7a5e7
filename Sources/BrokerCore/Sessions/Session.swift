import MQTTCodec
import NIOCore

/// The Session State of one Client Identifier (MQTT 5.0 §4.1); it outlives the virtual connection when it must.
///
/// Each of its parts is a record of `SessionParts.swift`. What deliveries look at comes first: it lies in a few lines of cache.
final class Session: @unchecked Sendable {
    // Sendable so that it can wait for the store; nothing but the core loop looks inside.

    @exclusivity(unchecked) var client = AttachedClient()
    @exclusivity(unchecked) var queue = OutboundQueue()
    @exclusivity(unchecked) var window = InflightWindow()
    @exclusivity(unchecked) var order = DeliveryOrder()
    @exclusivity(unchecked) var storage = SessionStorage()
    @exclusivity(unchecked) var loading = SessionLoading()
    @exclusivity(unchecked) var interest = SessionInterest()
    @exclusivity(unchecked) var routing = RoutingNotes()
    @exclusivity(unchecked) var counted = SessionCount()
    var inbound = InboundState()
    var life = SessionLife()
    var names: SessionNames

    init(name: SessionName, number: SessionNumber, publisherID: PublisherID) {
        names = SessionNames(name: name, number: number, publisherID: publisherID)
    }

    /// The client's virtual connection, while there is one.
    @inline(__always)
    var connection: VirtualConnection? { client.connection }
    /// The connection's outlet when it takes MQTT bytes.
    @inline(__always)
    var stream: PacketStream? { client.stream }
    /// The connection's outlet when it takes messages.
    @inline(__always)
    var sink: MessageSink? { client.sink }

    var name: SessionName { names.name }
    var clientID: String { names.name.string }
    @inline(__always)
    var number: SessionNumber { names.number }
    @inline(__always)
    var publisherID: PublisherID { names.publisherID }
    /// Authenticated as; nil when anonymous.
    ///
    /// Whose the session is, if that was proven, says `holder`.
    var userName: String? { names.userName }
    var isNameless: Bool { names.isNameless }
    var isTransient: Bool { names.isTransient }
    /// Whose it is, and for whom it is counted.
    var holder: Holder { counted.holder }

    /// Seconds; 0 ends the session with its connection, `UInt32.max` never.
    var expiryInterval: UInt32 { life.expiryInterval }
    /// When a session without a connection ends.
    var expiresAt: NIODeadline { life.expiresAt }
    var will: Will? { life.will }
    /// Whether it is over: nothing is delivered to it, and an answer that it has waited for is for nobody.
    @inline(__always)
    var hasEnded: Bool { life.hasEnded }
    /// Whether the store has it.
    @inline(__always)
    var isStored: Bool { storage.isStored }
    /// Whether messages are being read back.
    @inline(__always)
    var isLoading: Bool { loading.isLoading }

    /// Whether it outlives its connection.
    var isPersistent: Bool { life.expiryInterval > 0 }

    /// Whether messages wait until the client or its connection takes more.
    var isWaiting: Bool { !queue.isEmpty || window.hasUnsent || !interest.retainedDeliveries.isEmpty }

    /// Whether messages at QoS 1 and 2 are still to be sent that came before any that comes now.
    var isBehind: Bool { !queue.isEmpty || window.hasUnsent || isLoading || !storage.inflight.isEmpty }

    /// Whether the client may be sent one more QoS 1 or 2 message right now: not before what it was sent by a former
    /// process [MQTT-4.6.0-1], whose Packet Identifiers are in use.
    var canSend: Bool {
        window.hasRoom(receiveMaximum: client.receiveMaximum) && window.bytes < client.inflightBytes && canTake
            && !isLoading && storage.inflight.isEmpty
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
        let own = inbound.publishRate ?? PublishRate(rate: rate, now: now)
        inbound.publishRate = own
        return own.allows(at: now)
    }
}
