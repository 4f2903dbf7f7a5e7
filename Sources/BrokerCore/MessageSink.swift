import DequeModule
package import MQTTCodec

/// The outlet of a virtual connection whose client speaks no MQTT: CoAP, HTTP, WebSocket JSON.
///
/// The core gathers deliveries during a tick and hands them over as one batch. Both closures run on the core loop and
/// must only pass on what they get: append to a mailbox, wake a thread, yield to a stream.
package final class MessageSink {
    /// Deliveries handed over and not yet reported as consumed at which QoS 0 messages are dropped.
    package let capacity: Int
    /// Bytes of topics and payloads handed over and not yet reported as consumed at which QoS 0 messages are dropped,
    /// and QoS 1 and 2 stay in the session's queue.
    package let maximumBytes: Int
    /// QoS 1 and 2 messages that may be unacknowledged, in place of `Limits.inflightMessages`; nil leaves it at that.
    package let inflightMessages: Int?
    /// Whether the client says how far it has read, which is true of everything before that: then nothing, at QoS 0 either,
    /// goes past what waits.
    package let isRead: Bool
    private let receive: @Sendable ([Delivery]) -> Void
    private let closed: @Sendable (ReasonCode) -> Void
    private var pending: [Delivery] = []
    /// Deliveries that wait until the store has written what they rely on, in order.
    private var held: Deque<(batch: UInt64, delivery: Delivery)> = []
    /// The sizes of what is in the adapter, oldest first.
    private var outstanding: Deque<Int> = []
    private var outstandingBytes = 0

    /// Makes an outlet.
    ///
    /// - Parameters:
    ///   - capacity: messages that may wait in the adapter; beyond it QoS 0 is dropped and counted.
    ///   - maximumBytes: bytes that may wait there, give or take one message.
    ///   - inflightMessages: QoS 1 and 2 messages that may be unacknowledged, when the adapter has to keep more of them
    ///     than other clients may; nil is `Limits.inflightMessages`.
    ///   - isRead: whether the client says how far it has read, rather than what it has.
    ///   - receive: takes one batch.
    ///   - closed: told once, when the core ends the connection: taken over, shutting down, not authorised.
    package init(
        capacity: Int,
        maximumBytes: Int = .max,
        inflightMessages: Int? = nil,
        isRead: Bool = false,
        receive: @escaping @Sendable ([Delivery]) -> Void,
        closed: @escaping @Sendable (ReasonCode) -> Void
    ) {
        self.capacity = capacity
        self.maximumBytes = maximumBytes
        self.inflightMessages = inflightMessages
        self.isRead = isRead
        self.receive = receive
        self.closed = closed
    }

    var isWritable: Bool { outstanding.count < capacity && hasRoomForQueued }

    /// Bytes in memory of what is in the adapter.
    var bufferedBytes: Int { outstandingBytes }

    var hasRoomForQueued: Bool { outstandingBytes < maximumBytes }

    func append(_ delivery: Delivery) {
        pending.append(delivery)
        outstanding.append(delivery.cost)
        outstandingBytes += delivery.cost
    }

    /// The batch that the last delivery waits for; 0 when none waits.
    var lastHeldBatch: UInt64 { held.last?.batch ?? 0 }

    /// Takes a delivery in that is handed over once that batch is written, and all before it.
    func hold(_ delivery: Delivery, until batch: UInt64) {
        held.append((max(batch, lastHeldBatch), delivery))
        outstanding.append(delivery.cost)
        outstandingBytes += delivery.cost
    }

    /// Lets go what waited for batches up to that one.
    ///
    /// - Returns: whether anything still waits.
    func release(through batch: UInt64) -> Bool {
        while let first = held.first, first.batch <= batch {
            pending.append(first.delivery)
            held.removeFirst()
        }
        return !held.isEmpty
    }

    /// The connection is over: what waits is for nobody, and stays in the session.
    func forgetHeld() { held = [] }

    func consumed(_ count: Int) {
        for _ in 0..<count {
            guard let size = outstanding.popFirst() else { return }
            outstandingBytes -= size
        }
    }

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
