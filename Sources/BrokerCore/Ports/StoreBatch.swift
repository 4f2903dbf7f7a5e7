package import MQTTCodec
package import NIOCore

/// Changes that the store writes all together or not at all.
///
/// New messages and the other changes never concern the same thing, so the order between the two lists is free; within
/// each list the order matters.
package struct StoreBatch: Sendable {
    /// Batches are numbered in order, from 1.
    package let number: UInt64
    /// New messages in ascending order of their numbers.
    ///
    /// A message whose deliveries were all done before the batch was handed over has no `remaining` and need not be
    /// written.
    package var messages: ContiguousArray<StoredMessage> = []
    /// The destinations of all messages of the batch, message by message.
    package var destinations: ContiguousArray<StoredDestination> = []
    package var changes: ContiguousArray<StoreChange> = []

    package init(number: UInt64) { self.number = number }

    /// The destinations of one of the batch's messages.
    func destinations(of message: StoredMessage) -> ContiguousArray<StoredDestination>.SubSequence {
        destinations[message.firstDestination..<message.firstDestination + message.destinationCount]
    }
}

/// A message to be stored once, for any number of sessions.
package struct StoredMessage: Sendable {
    package let number: MessageNumber
    package internal(set) var message: Message
    /// The index of its first destination in the batch.
    package let firstDestination: Int
    package internal(set) var destinationCount: Int
    /// The number of destinations whose delivery is not done.
    package internal(set) var remaining: Int

    package init(
        number: MessageNumber,
        message: Message,
        firstDestination: Int,
        destinationCount: Int,
        remaining: Int
    ) {
        self.number = number
        self.message = message
        self.firstDestination = firstDestination
        self.destinationCount = destinationCount
        self.remaining = remaining
    }
}

/// One session that gets a stored message.
package struct StoredDestination: Sendable {
    package let session: SessionNumber
    /// Its position in the session's order of delivery.
    package let sequence: UInt64
    /// The QoS of this delivery.
    package let qos: QoS
    /// The RETAIN flag of this delivery.
    package let retain: Bool
    /// Subscription Identifiers that are sent with it.
    package let identifiers: [UInt32]
    /// The Topic Filter of the Shared Subscription it came through; nil without one.
    package let share: String?
    package var state: DeliveryState

    package init(
        session: SessionNumber,
        sequence: UInt64,
        qos: QoS,
        retain: Bool,
        identifiers: [UInt32],
        share: String?,
        state: DeliveryState
    ) {
        self.session = session
        self.sequence = sequence
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.share = share
        self.state = state
    }
}

/// The state of a stored message's delivery (MQTT 5.0 §4.3).
package enum DeliveryState: Sendable, Equatable {
    /// Not sent yet.
    case queued
    /// PUBLISH sent; waiting for PUBACK or PUBREC.
    case published(PacketID)
    /// PUBREC received; waiting for PUBCOMP.
    case released(PacketID)
    /// Acknowledged, dropped or expired.
    case done
}

/// One change other than a new message.
package enum StoreChange: Sendable {
    /// Adds or replaces a session's own record, keyed by its name.
    case session(SessionRecord)
    /// Removes a session, its subscriptions and the Packet Identifiers received; its messages are removed one by one.
    case removeSession(SessionName, SessionNumber)
    /// Removes a session's record under its former name, and nothing else of the session.
    case moveSession(from: SessionName, SessionNumber)
    /// Adds or replaces a subscription, keyed by its Topic Filter as the client wrote it.
    case subscription(SubscriptionRecord, of: SessionNumber)
    case removeSubscription(String, of: SessionNumber)
    /// Adds a QoS 2 Packet Identifier received and not yet released.
    case received(PacketID, of: SessionNumber)
    case removeReceived(PacketID, of: SessionNumber)
    /// Replaces the state of one delivery of a message of an earlier batch.
    case delivery(StoredPlace, DeliveryState)
    /// Removes a message of an earlier batch, with all states of the given number of deliveries.
    case removeMessage(MessageNumber, destinations: Int)
    /// Adds or replaces the retained message of its topic.
    case retained(Message)
    case removeRetained(TopicName)
}

/// A session's own record.
package struct SessionRecord: Sendable {
    package let name: SessionName
    package let number: SessionNumber
    package let userName: String?
    /// Whether the user name was proven; nil in a record of a version without this field.
    package let isUserProven: Bool?
    /// Seconds; `UInt32.max` is never.
    package let expiryInterval: UInt32
    /// When the session ends; `.distantFuture` while it is connected or never ends.
    package let expiresAt: NIODeadline
    /// The will, published when the connection is lost, or at `willDueAt`.
    package let will: Will?
    package let willDueAt: NIODeadline?
    /// The last delivery that has ended without the client's acknowledgement; 0 when there is none.
    package let takenForRead: UInt64

    package init(
        name: SessionName,
        number: SessionNumber,
        userName: String?,
        isUserProven: Bool? = false,
        expiryInterval: UInt32,
        expiresAt: NIODeadline,
        will: Will?,
        willDueAt: NIODeadline?,
        takenForRead: UInt64
    ) {
        self.name = name
        self.number = number
        self.userName = userName
        self.isUserProven = isUserProven
        self.expiryInterval = expiryInterval
        self.expiresAt = expiresAt
        self.will = will
        self.willDueAt = willDueAt
        self.takenForRead = takenForRead
    }

    package var clientID: String { name.string }
}

/// A stored subscription.
package struct SubscriptionRecord: Sendable {
    package let filter: String
    package let options: SubscriptionOptions
    /// The Subscription Identifier; 0 without one.
    package let identifier: UInt32
    /// Whether matching retained messages are still to be sent to its session.
    package let isOwedRetained: Bool

    package init(filter: String, options: SubscriptionOptions, identifier: UInt32, isOwedRetained: Bool = false) {
        self.filter = filter
        self.options = options
        self.identifier = identifier
        self.isOwedRetained = isOwedRetained
    }
}
