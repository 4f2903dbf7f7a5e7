package import MQTTCodec
package import NIOCore

/// Where what must outlive the process is kept: sessions, what they are owed, retained messages (MQTT 5.0 §4.1).
///
/// The core keeps the working copy of all state but the messages that wait for absent clients. It hands over one batch
/// after the other, each when the one before it is done, and reads messages back when a client returns. A broker
/// without a store keeps everything in memory.
package protocol Store: AnyObject, Sendable {
    /// Reads back everything but messages that wait for sessions; called once, before anything else, and may block.
    ///
    /// - Parameters:
    ///   - now: the time that stored times are translated to.
    ///   - restore: takes first the sessions, then the rest, messages in ascending order of their numbers.
    /// - Throws: when what is there can't be read: damaged, or written by another version.
    func recover(now: NIODeadline, _ restore: (RecoveredRecord) -> Void) throws

    /// Writes a batch, all of it or nothing; doesn't block.
    ///
    /// - Parameter completion: called once, on any thread: nil when it is as durable as the configuration demands.
    func commit(_ batch: StoreBatch, completion: @escaping @Sendable (StoreFailure?) -> Void)

    /// Reads stored messages back; doesn't block, and sees every batch handed over before.
    ///
    /// - Parameter completion: called once, on any thread, with one answer a place; nil for a message that is not there
    ///   (any more).
    func load(
        _ places: [StoredPlace],
        completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
    )
}

/// Why a store could not do what it was asked.
package struct StoreFailure: Error, Sendable, CustomStringConvertible {
    /// In words that a user can act on: "No space left on device: ./data".
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Names a stored message; numbers ascend in the order of storing and are never used again.
package struct MessageNumber: Hashable, Sendable, Comparable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package static func < (left: MessageNumber, right: MessageNumber) -> Bool { left.rawValue < right.rawValue }

    /// No message is stored.
    package static let none = MessageNumber(rawValue: 0)
}

/// A delivery in the store: one of the destinations of a stored message.
package struct StoredPlace: Hashable, Sendable {
    /// `.none` when the delivery is not stored.
    package let message: MessageNumber
    /// Its place among the message's destinations, from 0.
    package let destination: UInt32

    package init(message: MessageNumber, destination: UInt32) {
        self.message = message
        self.destination = destination
    }

    /// Not stored.
    package static let none = StoredPlace(message: .none, destination: 0)
}

/// A message read back with one of its deliveries.
package struct LoadedMessage: Sendable {
    package let message: Message
    package let destination: StoredDestination

    package init(message: Message, destination: StoredDestination) {
        self.message = message
        self.destination = destination
    }
}

/// What the store has of one thing, at the start.
package enum RecoveredRecord: Sendable {
    case session(SessionRecord)
    case subscription(SubscriptionRecord, of: SessionNumber)
    /// A QoS 2 Packet Identifier received and not yet released.
    case received(PacketID, of: SessionNumber)
    case retained(Message)
    /// A message that waits for sessions, without its contents.
    case message(RecoveredMessage)
}

/// What is known of a stored message before its contents are wanted.
package struct RecoveredMessage: Sendable {
    package let number: MessageNumber
    /// Bytes in memory of the message when it is read back.
    package let cost: Int
    /// `.distantFuture` if never.
    package let expiresAt: NIODeadline
    /// In the order of their places, with the state each has come to.
    package let destinations: [StoredDestination]

    package init(number: MessageNumber, cost: Int, expiresAt: NIODeadline, destinations: [StoredDestination]) {
        self.number = number
        self.cost = cost
        self.expiresAt = expiresAt
        self.destinations = destinations
    }
}

/// What a client may rely on once it has its answer.
package enum Durability: String, Sendable, CaseIterable {
    /// What was acknowledged survives the loss of power.
    case strict
    /// What was acknowledged survives the end of the process, but not of the machine.
    case process
    /// Acknowledgements don't wait; what is stored is written soon.
    case none
}
