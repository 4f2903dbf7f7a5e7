import DequeModule
package import MQTTCodec

/// The outlet of a virtual connection whose client speaks no MQTT: CoAP, HTTP, WebSocket JSON.
///
/// The core gathers deliveries during a tick and hands them over as one batch. Both closures run on the core loop and
/// must only pass their argument on: append it to a mailbox, wake a thread, yield it to a stream.
package final class MessageSink {
    /// The number of deliveries that may be in the adapter, which has not reported them as consumed.
    ///
    /// At this number, QoS 0 messages wait. The same number may wait; then the oldest waiting message is dropped.
    package let capacity: Int
    /// The bytes of topics and payloads that may be in the adapter, which has not reported them as consumed.
    ///
    /// At this size, QoS 0 messages wait, under the same bound, and QoS 1 and 2 messages stay in the session's queue.
    package let maximumBytes: Int
    /// QoS 1 and 2 messages that may be unacknowledged; nil is `Limits.inflightMessages`.
    package let inflightMessages: Int?
    /// Whether the client acknowledges by a position, up to which it has read everything.
    ///
    /// Then no delivery, QoS 0 included, overtakes one that waits.
    package let isRead: Bool
    private let receive: @Sendable ([Delivery]) -> Void
    private let closed: @Sendable (ReasonCode) -> Void
    private let withdrawn: (@Sendable (Set<PacketID>) -> Void)?
    private var pending: [Delivery] = []
    /// Deliveries that wait for a batch of the store, in order.
    private var held: Deque<(batch: UInt64, delivery: Delivery)> = []
    /// The sizes of the deliveries in the adapter, oldest first.
    private var outstanding: Deque<Int> = []
    private var outstandingBytes = 0
    /// QoS 0 messages that wait for room in the adapter, oldest first.
    private var waiting: Deque<Delivery> = []
    private var waitingBytes = 0
    /// Messages dropped since the last delivery was handed over.
    private var lost = 0

    /// Makes an outlet.
    ///
    /// - Parameters:
    ///   - capacity: messages that may be in the adapter, and QoS 0 messages that may wait for room in it; beyond
    ///     that, the oldest waiting message is dropped and counted.
    ///   - maximumBytes: bytes that may be in the adapter, give or take one message.
    ///   - inflightMessages: QoS 1 and 2 messages that may be unacknowledged, for an adapter that keeps more of them
    ///     than other clients may have; nil is `Limits.inflightMessages`.
    ///   - isRead: whether the client acknowledges by the position up to which it has read, not message by message.
    ///   - receive: takes one batch.
    ///   - withdrawn: takes the Packet Identifiers of QoS 1 and 2 messages that the adapter may still have and that
    ///     the client may no longer read; with nil, the core ends the connection instead.
    ///   - closed: called once, when the core ends the connection: taken over, shutting down, not authorised.
    package init(
        capacity: Int,
        maximumBytes: Int = .max,
        inflightMessages: Int? = nil,
        isRead: Bool = false,
        receive: @escaping @Sendable ([Delivery]) -> Void,
        withdrawn: (@Sendable (Set<PacketID>) -> Void)? = nil,
        closed: @escaping @Sendable (ReasonCode) -> Void
    ) {
        self.capacity = capacity
        self.maximumBytes = maximumBytes
        self.inflightMessages = inflightMessages
        self.isRead = isRead
        self.receive = receive
        self.closed = closed
        self.withdrawn = withdrawn
    }

    /// Whether a QoS 0 message would be handed over now.
    var isWritable: Bool { waiting.isEmpty && hasRoom }

    /// Bytes in memory of the deliveries in the adapter and of those that wait for it.
    var bufferedBytes: Int { outstandingBytes + waitingBytes }

    private var hasRoom: Bool { outstanding.count < capacity && outstandingBytes < maximumBytes }

    var hasRoomForQueued: Bool { outstandingBytes < maximumBytes && !(isRead && !waiting.isEmpty) }

    /// Lets a QoS 0 message wait, since the sink is not writable.
    ///
    /// The next message that the client gets has the number of messages dropped before it, so that the client learns
    /// at which point they are missing.
    ///
    /// - Returns: the number of dropped messages.
    func wait(_ delivery: Delivery) -> Int {
        waiting.append(delivery)
        waitingBytes += delivery.cost
        var dropped = 0
        while waiting.count > max(capacity, 1) || (waitingBytes > maximumBytes && waiting.count > 1) {
            waitingBytes -= waiting.removeFirst().cost
            dropped += 1
        }
        lost += dropped
        return dropped
    }

    /// Drops waiting QoS 0 messages.
    ///
    /// - Returns: the number of dropped messages.
    func dropWaiting(where isUnwanted: (Delivery) -> Bool) -> Int {
        let before = waiting.count
        waiting.removeAll { delivery in
            guard isUnwanted(delivery) else { return false }
            waitingBytes -= delivery.cost
            return true
        }
        return before - waiting.count
    }

    /// The client may no longer read these messages.
    ///
    /// - Returns: whether the adapter withdraws them.
    func withdraw(_ packetIDs: Set<PacketID>) -> Bool {
        withdrawn?(packetIDs)
        return withdrawn != nil
    }

    /// The given number of messages are missing before the next delivery that is handed over.
    func lose(_ count: Int) { lost += count }

    func append(_ delivery: Delivery) {
        pending.append(takingLost(delivery))
        outstanding.append(delivery.cost)
        outstandingBytes += delivery.cost
    }

    private func takingLost(_ delivery: Delivery) -> Delivery {
        guard lost > 0 else { return delivery }
        var delivery = delivery
        delivery.lost = lost
        lost = 0
        return delivery
    }

    /// The batch that the last held delivery waits for; 0 when none waits.
    var lastHeldBatch: UInt64 { held.last?.batch ?? 0 }

    /// Holds a delivery until that batch is written and all earlier deliveries are handed over.
    func hold(_ delivery: Delivery, until batch: UInt64) {
        held.append((max(batch, lastHeldBatch), takingLost(delivery)))
        outstanding.append(delivery.cost)
        outstandingBytes += delivery.cost
    }

    /// Releases the deliveries that waited for batches up to that one.
    ///
    /// - Returns: whether any delivery still waits.
    func release(through batch: UInt64) -> Bool {
        while let first = held.first, first.batch <= batch {
            pending.append(first.delivery)
            held.removeFirst()
        }
        return !held.isEmpty
    }

    /// The connection is over: held deliveries stay in the session.
    func forgetHeld() { held = [] }

    /// - Returns: whether waiting messages are handed over now.
    func consumed(_ count: Int) -> Bool {
        for _ in 0..<count {
            guard let size = outstanding.popFirst() else { break }
            outstandingBytes -= size
        }
        var isHandingOver = false
        while hasRoom, let next = waiting.popFirst() {
            waitingBytes -= next.cost
            if held.isEmpty { append(next) } else { hold(next, until: 0) }
            isHandingOver = true
        }
        return isHandingOver
    }

    /// Hands the gathered deliveries over.
    ///
    /// - Returns: their bytes in memory.
    @discardableResult
    func flush() -> Int {
        guard !pending.isEmpty else { return 0 }
        let batch = pending
        pending = []
        receive(batch)
        return batch.reduce(0) { $0 + $1.cost }
    }

    func close(_ reason: ReasonCode) {
        flush()
        closed(reason)
    }
}
