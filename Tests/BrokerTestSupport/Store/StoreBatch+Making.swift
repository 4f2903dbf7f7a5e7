package import BrokerCore

extension StoreBatch {
    /// Adds a message for the given destinations, as the journal does.
    ///
    /// - Parameter number: a number higher than those of all messages before.
    package mutating func add(_ message: Message, number: MessageNumber, for added: [StoredDestination]) {
        messages.append(
            StoredMessage(
                number: number,
                message: message,
                firstDestination: destinations.count,
                destinationCount: added.count,
                remaining: added.count { $0.state != .done }
            )
        )
        destinations += added
    }

    /// Adds a change other than a new message.
    package mutating func add(_ change: StoreChange) { changes.append(change) }
}
