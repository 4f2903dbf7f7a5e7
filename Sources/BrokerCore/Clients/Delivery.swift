package import MQTTCodec

/// One message on its way to one client whose adapter speaks something other than MQTT bytes.
package struct Delivery: Sendable {
    /// The message, shared with everybody else who gets it.
    package let message: Message
    /// The lower of the message's QoS and the subscription's.
    package let qos: QoS
    /// RETAIN as MQTT would send it: a retained message for a new subscription, or Retain As Published.
    package let retain: Bool
    /// Sent before and not acknowledged.
    package let dup: Bool
    /// What `Broker.acknowledge` wants back; nil at QoS 0.
    package let packetID: PacketID?
    /// The identifiers of all the subscriptions that matched, for those that have one.
    package let subscriptionIdentifiers: [UInt32]
    /// Its place in the session's order of delivery; strictly ascending, with gaps.
    package let sequence: UInt64
    /// QoS 0 messages that would have come right before this one, and were dropped because the client is slow.
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
