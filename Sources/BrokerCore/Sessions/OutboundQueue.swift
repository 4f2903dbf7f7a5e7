import DequeModule

/// QoS 1 and 2 messages that wait: for the client to come back, or for room in its window.
///
/// Bounded in number and bytes.
package struct OutboundQueue {
    private var waiting: Deque<OutboundMessage> = []
    /// Bytes of topics and payloads.
    package private(set) var bytes = 0

    package init() {}

    package var count: Int { waiting.count }
    package var isEmpty: Bool { waiting.isEmpty }

    /// Whether one more message of that size stays within the limits.
    ///
    /// An empty queue takes any one message.
    package func hasRoom(for size: Int, limits: QueueLimits) -> Bool {
        waiting.isEmpty || (waiting.count < limits.messages && bytes + size <= limits.bytes)
    }

    package mutating func append(_ outbound: OutboundMessage) {
        waiting.append(outbound)
        bytes += outbound.message.size
    }

    package mutating func popFirst() -> OutboundMessage? {
        guard let first = waiting.popFirst() else { return nil }
        bytes -= first.message.size
        return first
    }

    /// Takes messages out, wherever they are.
    ///
    /// - Parameter messages: some of the queue's, in its order.
    mutating func remove(_ messages: [OutboundMessage]) {
        var next = messages.startIndex
        waiting.removeAll { outbound in
            guard next < messages.endIndex, messages[next].sequence == outbound.sequence else { return false }
            bytes -= outbound.message.size
            next += 1
            return true
        }
    }

    /// All of it, oldest first.
    package var messages: some Sequence<OutboundMessage> { waiting }
}
