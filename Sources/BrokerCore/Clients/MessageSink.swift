import DequeModule
package import MQTTCodec

/// The outlet of a virtual connection whose client speaks no MQTT: CoAP, HTTP, WebSocket JSON.
///
/// The core gathers deliveries during a tick and hands them over as one batch. Both closures run on the core loop and
/// must only pass on what they get: append to a mailbox, wake a thread, yield to a stream.
package final class MessageSink {
    /// Deliveries handed over and not yet reported as consumed at which QoS 0 messages wait; as many may wait, and then
    /// the oldest gives way.
    package let capacity: Int
    /// Bytes of topics and payloads handed over and not yet reported as consumed at which QoS 0 messages wait, likewise,
    /// and QoS 1 and 2 stay in the session's queue.
    package let maximumBytes: Int
    /// QoS 1 and 2 messages that may be unacknowledged, in place of `Limits.inflightMessages`; nil leaves it at that.
    package let inflightMessages: Int?
    /// Whether the client says how far it has read, which is true of everything before that: then nothing, at QoS 0 either,
    /// goes past what waits.
    package let isRead: Bool
    private let receive: @Sendable ([Delivery]) -> Void
    private let closed: @Sendable (ReasonCode) -> Void
    private let withdrawn: (@Sendable (Set<PacketID>) -> Void)?
    private var pending: [Delivery] = []
    /// Deliveries that wait until the store has written what they rely on, in order.
    private var held: Deque<(batch: UInt64, delivery: Delivery)> = []
    /// The sizes of what is in the adapter, oldest first.
    private var outstanding: Deque<Int> = []
    private var outstandingBytes = 0
    /// QoS 0 messages that the adapter has no room for yet, oldest first.
    private var waiting: Deque<Delivery> = []
    private var waitingBytes = 0
    /// Messages that have given way since the last one that was handed over.
    private var lost = 0

    /// Makes an outlet.
    ///
    /// - Parameters:
    ///   - capacity: messages that may wait in the adapter, and QoS 0 messages that may wait for it; beyond that the
    ///     oldest of these is dropped and counted.
    ///   - maximumBytes: bytes that may wait there, give or take one message.
    ///   - inflightMessages: QoS 1 and 2 messages that may be unacknowledged, when the adapter has to keep more of them
    ///     than other clients may; nil is `Limits.inflightMessages`.
    ///   - isRead: whether the client says how far it has read, rather than what it has.
    ///   - receive: takes one batch.
    ///   - withdrawn: told which QoS 1 and 2 messages that it may still have the client may not have any more; nil: the core
    ///     ends the connection then.
    ///   - closed: told once, when the core ends the connection: taken over, shutting down, not authorised.
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

    /// Bytes in memory of what is in the adapter, or waits for it.
    var bufferedBytes: Int { outstandingBytes + waitingBytes }

    private var hasRoom: Bool { outstanding.count < capacity && outstandingBytes < maximumBytes }

    var hasRoomForQueued: Bool { outstandingBytes < maximumBytes && !(isRead && !waiting.isEmpty) }

    /// Lets a QoS 0 message wait, since it is not writable.
    ///
    /// The client learns how many it missed with the next one that it gets: that is the point at which they are
    /// missing.
    ///
    /// - Returns: the number of messages that have given way.
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

    /// Drops QoS 0 messages that wait.
    ///
    /// - Returns: how many.
    func dropWaiting(where isUnwanted: (Delivery) -> Bool) -> Int {
        let before = waiting.count
        waiting.removeAll { delivery in
            guard isUnwanted(delivery) else { return false }
            waitingBytes -= delivery.cost
            return true
        }
        return before - waiting.count
    }

    /// The client may not have these messages any more.
    ///
    /// - Returns: whether the adapter sees to it.
    func withdraw(_ packetIDs: Set<PacketID>) -> Bool {
        withdrawn?(packetIDs)
        return withdrawn != nil
    }

    /// So many messages are missing that come before all that is to be handed over.
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

    /// The batch that the last delivery waits for; 0 when none waits.
    var lastHeldBatch: UInt64 { held.last?.batch ?? 0 }

    /// Takes a delivery in that is handed over once that batch is written, and all before it.
    func hold(_ delivery: Delivery, until batch: UInt64) {
        held.append((max(batch, lastHeldBatch), takingLost(delivery)))
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

    /// - Returns: whether messages that have waited are handed over now.
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

    /// Hands over what has gathered.
    ///
    /// - Returns: bytes it takes in memory.
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
