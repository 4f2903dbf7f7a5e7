/// What the core asks of whoever hosts it, and tells it.
package struct BrokerHost {
    /// Called when the first connection of a tick has something to flush; the host calls `Broker.flush()` at the tick's end.
    package var requestFlush: (() -> Void)?
    /// Brings work from any thread onto the core.
    package var submit: (@Sendable (@escaping @Sendable (Broker) -> Void) -> Void)?
    /// Called when the store can't write, each time it has tried, and with nil when it can again.
    package var storeFailed: ((StoreFailure?) -> Void)?
    /// Told what becomes of clients.
    package let events: EventLog
}
