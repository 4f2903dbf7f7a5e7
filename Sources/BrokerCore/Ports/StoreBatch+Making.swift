extension StoreBatch {
    /// Adds a message for these destinations, as those that gather a batch do.
    ///
    /// - Parameter number: higher than those of all messages before.
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

    /// Adds a change that is no new message.
    package mutating func add(_ change: StoreChange) { changes.append(change) }
}
