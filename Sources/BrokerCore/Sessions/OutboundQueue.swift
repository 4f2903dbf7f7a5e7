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

    /// All of it, oldest first.
    package var messages: some Sequence<OutboundMessage> { waiting }
}
