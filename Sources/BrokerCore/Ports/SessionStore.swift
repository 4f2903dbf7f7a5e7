package import MQTTCodec
package import NIOCore

/// Where sessions that outlive their connection are kept (MQTT 5.0 §4.1).
///
/// The core keeps the working copy of all state itself; it tells the store each change, and reads it all back once, at
/// the start. It is called on the core loop, for persistent sessions only.
package protocol SessionStore: AnyObject {
    /// Adds or replaces a session's own record.
    func save(_ session: FormerSessionRecord)
    /// Removes a session with all that belongs to it.
    func removeSession(_ clientID: String)

    /// Adds or replaces a subscription, keyed by its Topic Filter as the client wrote it.
    func save(_ subscription: FormerSubscriptionRecord, of clientID: String)
    func removeSubscription(_ filter: String, of clientID: String)

    /// Adds a queued or sent message, or replaces its delivery state; keyed by its sequence.
    func save(_ outbound: OutboundRecord, of clientID: String)
    func removeOutbound(_ sequence: UInt64, of clientID: String)

    /// Adds a QoS 2 Packet Identifier received and not yet released.
    func saveReceived(_ packetID: PacketID, of clientID: String)
    func removeReceived(_ packetID: PacketID, of clientID: String)

    /// All sessions, in no order; the messages of each in ascending sequence.
    func forEachSession(_ body: (StoredSession) -> Void)
}

/// Where retained messages are kept (MQTT 5.0 §3.3.1.3).
package protocol RetainedStore: AnyObject {
    /// Adds or replaces the retained message of its topic.
    func saveRetained(_ message: Message, topic: TopicName)
    func removeRetained(_ topic: TopicName)
    func forEachRetained(_ body: (TopicName, Message) -> Void)
}

/// A session's own record.
package struct FormerSessionRecord: Sendable {
    package let clientID: String
    package let userName: String?
    /// Seconds; `UInt32.max` never ends.
    package let expiryInterval: UInt32
    /// When it ends; `.distantFuture` while it is connected or never ends.
    package let expiresAt: NIODeadline
    /// Published when the connection is lost, or when `willDueAt` comes.
    package let will: Will?
    package let willDueAt: NIODeadline?
}

/// A stored subscription.
package struct FormerSubscriptionRecord: Sendable {
    package let filter: String
    package let options: SubscriptionOptions
    /// 0 without one.
    package let identifier: UInt32
}

/// A stored message of one session with the state of its delivery.
package struct OutboundRecord: Sendable {
    package let outbound: OutboundMessage
    /// nil while it is queued.
    package let delivery: Delivery?

    package struct Delivery: Sendable {
        package let packetID: PacketID
        package let state: InflightWindow.State
    }
}

/// All that is stored of one session.
package struct StoredSession: Sendable {
    package let session: FormerSessionRecord
    package let subscriptions: [FormerSubscriptionRecord]
    package let outbound: [OutboundRecord]
    package let received: [PacketID]
}
