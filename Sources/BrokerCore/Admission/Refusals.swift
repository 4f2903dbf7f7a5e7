import NIOConcurrencyHelpers
package import NIOCore

/// What the edges have refused because a limit was reached: counted, and told of seldom, since an attack makes many.
package final class Refusals: Sendable {
    /// What there was not enough of.
    package enum Limit: String, CaseIterable, Sendable {
        /// Network connections, in all or of one address.
        case connections
        /// Files and sockets that the system lets this process have.
        case descriptors
        /// Bytes that connections keep of what is not whole yet.
        case connectionBytes = "connection bytes"
        /// TLS handshakes under way.
        case handshakes
        /// Passwords and tokens that wait to be checked.
        case credentials
        /// Long-polls between two requests.
        case polls
        /// Session tokens.
        case tokens = "session tokens"
        /// What a CoAP listener keeps for its clients.
        case coap = "CoAP"

        /// As a level of a topic.
        package var topic: String { rawValue.replacing(" ", with: "_").lowercased() }
    }

    private struct Count {
        var all = 0
        var untold = 0
        var toldAt = NIODeadline.distantPast
    }

    /// How often each limit is reported.
    private static let interval = TimeAmount.seconds(10)

    private let counts = NIOLockedValueBox<[Limit: Count]>([:])
    private let tell: @Sendable (_ limit: Limit, _ address: String, _ count: Int) -> Void

    /// - Parameter tell: told, on any thread, what was refused and to whom, and how many were since it was told last.
    package init(tell: @escaping @Sendable (_ limit: Limit, _ address: String, _ count: Int) -> Void = { _, _, _ in }) {
        self.tell = tell
    }

    /// Somebody was refused.
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

    /// How many were refused so far.
    package func count(_ limit: Limit) -> Int { counts.withLockedValue { $0[limit]?.all ?? 0 } }
}
