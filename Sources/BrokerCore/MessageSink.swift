package import MQTTCodec

/// The outlet of a virtual connection whose client speaks no MQTT: CoAP, HTTP, WebSocket JSON.
///
/// The core gathers deliveries during a tick and hands them over as one batch. Both closures run on the core loop and
/// must only pass on what they get: append to a mailbox, wake a thread, yield to a stream.
package final class MessageSink {
    /// Deliveries handed over and not yet reported as consumed at which QoS 0 messages are dropped.
    package let capacity: Int
    private let receive: @Sendable ([Delivery]) -> Void
    private let closed: @Sendable (ReasonCode) -> Void
    private var pending: [Delivery] = []
    private var outstanding = 0

    /// Makes an outlet.
    ///
    /// - Parameters:
    ///   - capacity: messages that may wait in the adapter; beyond it QoS 0 is dropped and counted.
    ///   - receive: takes one batch.
    ///   - closed: told once, when the core ends the connection: taken over, shutting down, not authorised.
    package init(
        capacity: Int,
        receive: @escaping @Sendable ([Delivery]) -> Void,
        closed: @escaping @Sendable (ReasonCode) -> Void
    ) {
        self.capacity = capacity
        self.receive = receive
        self.closed = closed
    }

    var isWritable: Bool { outstanding < capacity }

    func append(_ delivery: Delivery) {
        pending.append(delivery)
        outstanding += 1
    }

    func consumed(_ count: Int) { outstanding = max(0, outstanding - count) }

    func flush() {
        guard !pending.isEmpty else { return }
        let batch = pending
        pending = []
        receive(batch)
    }

    func close(_ reason: ReasonCode) {
        flush()
        closed(reason)
    }
}
