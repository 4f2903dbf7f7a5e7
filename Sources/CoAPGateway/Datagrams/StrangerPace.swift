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

    private var isLimiting = false
    private var left = 0
    private var spanEnd = NIODeadline.distantPast

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

    /// One more is let in.
    package mutating func enter() { if isLimiting { left -= 1 } }
}
