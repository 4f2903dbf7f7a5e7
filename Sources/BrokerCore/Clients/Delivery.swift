package import MQTTCodec

/// One message for one client whose adapter does not take MQTT bytes.
package struct Delivery: Sendable {
    /// The message, shared with all its other recipients.
    package let message: Message
    /// The lower of the message's QoS and the subscription's.
    package let qos: QoS
    /// RETAIN as MQTT would send it: a retained message for a new subscription, or Retain As Published.
    package let retain: Bool
    /// Whether it was sent before and not acknowledged.
    package let dup: Bool
    /// The Packet Identifier that `Broker.acknowledge` takes; nil at QoS 0.
    package let packetID: PacketID?
    /// The identifiers of all the subscriptions that matched, for those that have one.
    package let subscriptionIdentifiers: [UInt32]
    /// Its position in the session's order of delivery; strictly ascending, with gaps.
    package let sequence: UInt64
    /// QoS 0 messages directly before this one that were dropped because the client is slow.
    package internal(set) var lost = 0

    package init(
        message: Message,
        qos: QoS,
        retain: Bool,
        dup: Bool,
        packetID: PacketID?,
        subscriptionIdentifiers: [UInt32],
        sequence: UInt64 = 0
    ) {
        self.message = message
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packetID = packetID
        self.subscriptionIdentifiers = subscriptionIdentifiers
        self.sequence = sequence
    }

    /// Bytes in memory, the message included; others may share it.
    package var cost: Int { message.cost + OutboundMessage.overhead + MemoryCost.identifiers(subscriptionIdentifiers) }
}
