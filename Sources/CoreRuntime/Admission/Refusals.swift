import NIOConcurrencyHelpers
package import NIOCore

/// Refusals at the network edge because a limit was reached: counted, and reported seldom, since an attack makes many.
package final class Refusals: Sendable {
    /// The limit that was reached.
    package enum Limit: String, CaseIterable, Sendable {
        /// Network connections, in total or of one address.
        case connections
        /// Files and sockets that the system allows this process.
        case descriptors
        /// Bytes of incomplete input that connections keep.
        case connectionBytes = "connection bytes"
        /// Pending TLS handshakes.
        case handshakes
        /// Passwords and tokens whose check is pending.
        case credentials
        /// Long-polls between two requests.
        case polls
        /// Session tokens.
        case tokens = "session tokens"
        /// The memory that a CoAP listener keeps for its clients.
        case coap = "CoAP"

        /// The limit as a level of a topic.
        package var topic: String { rawValue.replacing(" ", with: "_").lowercased() }
    }

    private struct Count {
        var all = 0
        var untold = 0
        var toldAt = NIODeadline.distantPast
    }

    /// The time between two reports of a limit.
    private static let interval = TimeAmount.seconds(10)

    private let counts = NIOLockedValueBox<[Limit: Count]>([:])
    private let tell: @Sendable (_ limit: Limit, _ address: String, _ count: Int) -> Void

    /// - Parameter tell: takes, on any thread, the limit, the last address, and the number of refusals since its last
    ///   call.
    package init(tell: @escaping @Sendable (_ limit: Limit, _ address: String, _ count: Int) -> Void = { _, _, _ in }) {
        self.tell = tell
    }

    /// Counts a refusal.
    package func note(_ limit: Limit, _ address: String, at now: NIODeadline = .now()) {
        let untold = counts.withLockedValue { counts -> Int? in
            var count = counts[limit] ?? Count()
            defer { counts[limit] = count }
            count.all += 1
            count.untold += 1
            guard count.toldAt == .distantPast || now - count.toldAt >= Self.interval else { return nil }
            defer { count.untold = 0 }
            count.toldAt = now
            return count.untold
        }
        if let untold { tell(limit, address, untold) }
    }

    /// The number of refusals so far.
    package func count(_ limit: Limit) -> Int { counts.withLockedValue { $0[limit]?.all ?? 0 } }
}
