package import NIOCore

/// How many new peers are let in while there is more than can be done at once; sans I/O.
///
/// A new peer costs many times as much as a datagram of one that is known. Datagrams that wait are a sign that there is too
/// much; then so many new ones are let in, and the others are dropped unread until it is less: a client that is real sends
/// its request again.
package struct StrangerPace: Sendable {
    /// Datagrams that came at once beyond which it is too much.
    static let crowd = 256
    /// New peers in a span of time then.
    package static let mostInSpan = 200
    package static let span = TimeAmount.milliseconds(100)

    private var isCrowded = false
    private var left = 0
    private var spanEnd = NIODeadline.distantPast

    package init() {}

    /// So many datagrams have come at once so far.
    package mutating func saw(_ count: Int, now: NIODeadline) {
        isCrowded = count > Self.crowd
        guard spanEnd <= now else { return }
        spanEnd = now + Self.span
        left = Self.mostInSpan
    }

    /// Whether one more is let in.
    package mutating func admits() -> Bool {
        guard isCrowded else { return true }
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}
