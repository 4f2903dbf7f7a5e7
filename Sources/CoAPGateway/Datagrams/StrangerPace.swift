package import NIOCore

/// How many new peers are let in while there is more than can be done at once; sans I/O.
///
/// A new peer costs many times as much as a datagram of one that is known. Datagrams that wait are a sign that there is too
/// much; then so many new ones are let in, and the others are dropped unread until it is less: a client that is real sends
/// its request again.
package struct StrangerPace: Sendable {
    /// Datagrams that came at once beyond which it is too much, and those up to which it is so no more.
    static let (many, few) = (256, 64)
    /// New peers in a span of time then.
    package static let mostInSpan = 200
    package static let span = TimeAmount.milliseconds(100)
    /// Messages that are rejected in a second.
    private static let mostRejections = 1_000

    private var isLimiting = false
    private var left = 0
    private var spanEnd = NIODeadline.distantPast
    private var rejections = (count: 0, until: NIODeadline.distantPast)

    package init() {}

    /// So many datagrams have come at once so far, and no more than those if `isAll`.
    package mutating func saw(_ count: Int, isAll: Bool, now: NIODeadline) {
        if count > Self.many { isLimiting = true }
        if isAll, count <= Self.few { isLimiting = false }
        guard spanEnd <= now else { return }
        spanEnd = now + Self.span
        left = Self.mostInSpan
    }

    /// Whether there is room for one more.
    package var hasRoom: Bool { !isLimiting || left > 0 }

    /// Whether another message of a stranger may be rejected now, with Reset or 4.13.
    package mutating func mayReject(now: NIODeadline) -> Bool {
        if rejections.until <= now { rejections = (0, now + .seconds(1)) }
        rejections.count += 1
        return rejections.count <= Self.mostRejections
    }

    /// One more is let in.
    package mutating func enter() { if isLimiting { left -= 1 } }
}
