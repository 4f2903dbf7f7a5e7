/// The functions of its host that the core calls.
package struct BrokerHost {
    /// Called when the first connection of a tick has output; the host calls `Broker.flush()` at the end of the tick.
    package var requestFlush: (() -> Void)?
    /// Runs work on the core, from any thread.
    package var submit: (@Sendable (@escaping @Sendable (Broker) -> Void) -> Void)?
    /// Called each time the store has failed to write, and with nil when it writes again.
    package var storeFailed: ((StoreFailure?) -> Void)?
    /// Takes the events of clients; nil logs none.
    package let events: (any EventSink)?
}
