package import MQTTCodec
package import NIOCore

/// The storage of all state that must outlive the process: sessions, their messages, retained messages (MQTT 5.0
/// §4.1).
///
/// The core keeps the working copy of all state except the messages that wait for absent clients. It hands over one
/// batch after the other, each when the one before it is done, and reads messages back when a client returns. A broker
/// without a store keeps everything in memory.
package protocol Store: AnyObject, Sendable {
    /// Reads back everything except messages that wait for sessions; called once, before any other call, and may
    /// block.
    ///
    /// - Parameters:
    ///   - now: the time that stored times are translated to.
    ///   - restore: takes first the sessions, then the rest, with messages in ascending order of their numbers.
    /// - Throws: when the stored data can't be read: damaged, or written by another version.
    func recover(now: NIODeadline, _ restore: (RecoveredRecord) -> Void) throws

    /// Writes all changes of a batch or none; doesn't block.
    ///
    /// - Parameter completion: called once, on any thread; with nil when the batch is as durable as the configuration
    ///   demands.
    func commit(_ batch: StoreBatch, completion: @escaping @Sendable (StoreFailure?) -> Void)

    /// Reads stored messages back; doesn't block, and sees every batch handed over before.
    ///
    /// - Parameter completion: called once, on any thread, with one answer for each place; nil for a message that is
    ///   not found, or not any more.
    func load(
        _ places: [StoredPlace],
        completion: @escaping @Sendable (Result<[LoadedMessage?], StoreFailure>) -> Void
    )
}

/// The reason why the store has failed.
package struct StoreFailure: Error, Sendable, CustomStringConvertible {
    /// A message that a user can act on: "No space left on device: ./data".
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// The number of a stored message; numbers ascend in the order of storing and are never reused.
package struct MessageNumber: Hashable, Sendable, Comparable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package static func < (left: MessageNumber, right: MessageNumber) -> Bool { left.rawValue < right.rawValue }

    /// The number of a message that is not stored.
    package static let none = MessageNumber(rawValue: 0)
}

/// A delivery in the store: one of the destinations of a stored message.
package struct StoredPlace: Hashable, Sendable {
    /// `.none` when the delivery is not stored.
    package let message: MessageNumber
    /// Its index among the message's destinations, from 0.
    package let destination: UInt32

    package init(message: MessageNumber, destination: UInt32) {
        self.message = message
        self.destination = destination
    }

    /// The place of a delivery that is not stored.
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

/// One record that the store restores at the start.
package enum RecoveredRecord: Sendable {
    case session(SessionRecord)
    case subscription(SubscriptionRecord, of: SessionNumber)
    /// A QoS 2 Packet Identifier received and not yet released.
    case received(PacketID, of: SessionNumber)
    case retained(Message)
    /// A message that waits for sessions, without its contents.
    case message(RecoveredMessage)
}

/// The facts about a stored message that are known before its contents are read.
package struct RecoveredMessage: Sendable {
    package let number: MessageNumber
    /// Bytes in memory of the message when it is read back.
    package let cost: Int
    /// When it expires; `.distantFuture` is never.
    package let expiresAt: NIODeadline
    /// The destinations in the order of their places, each with its delivery's state.
    package let destinations: [StoredDestination]

    package init(number: MessageNumber, cost: Int, expiresAt: NIODeadline, destinations: [StoredDestination]) {
        self.number = number
        self.cost = cost
        self.expiresAt = expiresAt
        self.destinations = destinations
    }
}

/// The durability of a change when the client gets its answer.
package enum Durability: String, Sendable, CaseIterable {
    /// Acknowledged changes survive the loss of power.
    case strict
    /// Acknowledged changes survive the end of the process, but not of the machine.
    case process
    /// Acknowledgements don't wait; changes are written soon.
    case none
}
