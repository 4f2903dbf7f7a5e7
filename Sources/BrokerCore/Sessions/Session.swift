import MQTTCodec
import NIOCore

/// The Session State of one Client Identifier (MQTT 5.0 §4.1); it outlives the virtual connection when it must.
final class Session {
    let clientID: String
    let number: SessionNumber
    /// Authenticated as; nil when anonymous.
    var userName: String?

    /// The client, while it is connected.
    @exclusivity(unchecked) var connection: VirtualConnection?
    /// The connection's outlet when it takes MQTT bytes; kept here to spare the hot path two loads.
    @exclusivity(unchecked) var stream: PacketStream?
    /// The connection's outlet when it takes messages.
    @exclusivity(unchecked) var sink: MessageSink?

    /// Seconds; 0 ends the session with its connection, `UInt32.max` never.
    var expiryInterval: UInt32 = 0
    /// When a session without a connection ends.
    var expiresAt = NIODeadline.distantFuture
    var isExpiryScheduled = false
    var will: Will?
    /// When the will of a lost connection is published.
    var willDueAt: NIODeadline?

    var subscriptions: [String: Subscription] = [:]
    /// What the client takes unacknowledged, after our own limit.
    @exclusivity(unchecked) var receiveMaximum = 65_535
    /// Bytes.
    @exclusivity(unchecked) var maximumPacketSize = Int.max
    @exclusivity(unchecked) var window = InflightWindow()
    @exclusivity(unchecked) var queue = OutboundQueue()
    @exclusivity(unchecked) var nextSequence: UInt64 = 0
    /// QoS 2 Packet Identifiers received and not yet released [MQTT-4.3.3-10].
    var received: Set<PacketID> = []

    // Scratch of the matching that is going on; see `Route.merge`.
    @exclusivity(unchecked) var routeMatching: UInt64 = 0
    @exclusivity(unchecked) var routePosition = 0

    init(clientID: String, number: SessionNumber) {
        self.clientID = clientID
        self.number = number
    }

    /// Whether it outlives its connection, and so goes through the store.
    var isPersistent: Bool { expiryInterval > 0 }

    /// Whether the client may be sent one more QoS 1 or 2 message right now.
    var canSend: Bool {
        guard window.hasRoom(receiveMaximum: receiveMaximum) else { return false }
        if let stream { return stream.hasRoomForQueued }
        return sink?.hasRoomForQueued ?? false
    }
}
