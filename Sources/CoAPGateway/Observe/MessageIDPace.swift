package import NIOCore

/// Keeps messages to one endpoint from having a Message ID again while the endpoint may still take it for a duplicate
/// (RFC 7252 §4.4); sans I/O.
///
/// Message IDs are given in order, so one comes again after 65,536 messages. They are looked at in stretches: what is
/// remembered of a stretch is when the last of its messages no longer counts.
package struct MessageIDPace: Sendable {
    private static let stretches = 16
    private static let stretchLength = 65_536 / stretches

    /// When the Message IDs that are next were free to be given again, by what was sent the last time.
    package private(set) var freeAt = NIODeadline.distantPast
    /// Of each stretch in the order of the Message IDs; empty until the first one is full, which it seldom is.
    private var freeTimes: [NIODeadline] = []
    /// The place of the current stretch, messages sent in it, and when they all no longer count.
    private var place = 0
    private var count = 0
    private var currentFreeAt = NIODeadline.distantPast

    package init() {}

    /// A Message ID was given to a confirmable message, or a non-confirmable one, that begins something.
    package mutating func began(isConfirmable: Bool, now: NIODeadline) {
        let lifetime = isConfirmable ? DuplicateFilter.exchangeLifetime : DuplicateFilter.nonLifetime
        currentFreeAt = max(currentFreeAt, now + lifetime)
        step()
    }

    /// A Message ID was given to a response, or to nothing.
    ///
    /// Who asks faster than Message IDs allow is answered all the same, and knows the response by its token.
    package mutating func answered() { step() }

    private mutating func step() {
        count += 1
        guard count == Self.stretchLength else { return }
        if freeTimes.isEmpty { freeTimes = [NIODeadline](repeating: .distantPast, count: Self.stretches) }
        freeTimes[place] = currentFreeAt
        place = (place + 1) % Self.stretches
        count = 0
        currentFreeAt = .distantPast
        freeAt = freeTimes[place]
    }
}
