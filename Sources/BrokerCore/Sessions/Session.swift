import MQTTCodec
import NIOCore

/// The Session State of one Client Identifier (MQTT 5.0 §4.1); it may outlive the virtual connection.
///
/// Each of its parts is a record of `SessionParts.swift`. The parts that deliveries read come first: they lie in a few
/// cache lines.
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

    /// The client's virtual connection; nil while the client is away.
    @inline(__always)
    var connection: VirtualConnection? { client.connection }
    /// The connection's outlet if it takes MQTT bytes.
    @inline(__always)
    var stream: PacketStream? { client.stream }
    /// The connection's outlet if it takes messages.
    @inline(__always)
    var sink: MessageSink? { client.sink }

    var name: SessionName { names.name }
    var clientID: String { names.name.string }
    @inline(__always)
    var number: SessionNumber { names.number }
    @inline(__always)
    var publisherID: PublisherID { names.publisherID }
    /// The authenticated user name; nil when anonymous.
    ///
    /// `holder` names the owner of the session, if its user was proven.
    var userName: String? { names.userName }
    var isNameless: Bool { names.isNameless }
    var isTransient: Bool { names.isTransient }
    /// The owner of the session, whose shares it uses.
    var holder: Holder { counted.holder }

    /// Session Expiry Interval in seconds; 0 ends the session with its connection, `UInt32.max` never ends it.
    var expiryInterval: UInt32 { life.expiryInterval }
    /// The time at which the session ends, while it has no connection.
    var expiresAt: NIODeadline { life.expiresAt }
    var will: Will? { life.will }
    /// Whether it has ended: nothing is delivered to it, and a pending answer for it is ignored.
    @inline(__always)
    var hasEnded: Bool { life.hasEnded }
    /// Whether it is in the store.
    @inline(__always)
    var isStored: Bool { storage.isStored }
    /// Whether messages are being read back from the store.
    @inline(__always)
    var isLoading: Bool { loading.isLoading }

    /// Whether it outlives its connection.
    var isPersistent: Bool { life.expiryInterval > 0 }

    /// Whether messages wait until the client or its connection takes more.
    var isWaiting: Bool { !queue.isEmpty || window.hasUnsent || !interest.retainedDeliveries.isEmpty }

    /// Whether earlier QoS 1 and 2 messages are still to be sent before a new one.
    var isBehind: Bool { !queue.isEmpty || window.hasUnsent || isLoading || !storage.inflight.isEmpty }

    /// Whether the client may be sent one more QoS 1 or 2 message now.
    ///
    /// Messages that a former process sent come first [MQTT-4.6.0-1]; their Packet Identifiers are in use.
    var canSend: Bool {
        window.hasRoom(receiveMaximum: client.receiveMaximum) && window.bytes < client.inflightBytes && canTake
            && !isLoading && storage.inflight.isEmpty
    }

    /// Whether a QoS 1 or 2 message would be sent at once.
    var isReady: Bool { connection != nil && queue.isEmpty && canSend }

    /// Whether there is a connection that takes more now.
    var canTake: Bool {
        if let stream { return stream.hasRoomForQueued }
        return sink?.hasRoomForQueued ?? false
    }

    /// Whether the client is within its publish rate, in messages a second.
    func mayPublish(at now: NIODeadline, rate: Int) -> Bool {
        let own = inbound.publishRate ?? PublishRate(rate: rate, now: now)
        inbound.publishRate = own
        return own.allows(at: now)
    }
}
