import DequeModule
package import NIOCore

/// What each side of a connection has still to confirm to the other one (RFC 8323 §5.4.1); sans I/O.
///
/// TCP says nothing of what the peer has dealt with. A Ping with the Custody Option does: its Pong comes when that is so of
/// all that was sent before it.
package struct ConnectionFlow {
    /// A Ping of ours.
    private struct Ping {
        /// Who waits for it; nil where it only asks whether the peer is there.
        let id: ConfirmableID?
        let sentAt: NIODeadline
    }

    /// Requests between two Pings of the peer's.
    private struct Section {
        /// Those that are not answered yet.
        var unanswered = 0
        /// The token of the Ping it ends with.
        var ping: Token?
    }

    /// Pings of a peer's that may wait at a time.
    package static let mostWaiting = 64

    private var pings: Deque<Ping> = []
    private var sections: Deque<Section> = [Section()]
    /// The number of the first of them.
    private var firstSection: UInt16 = 0
    /// Requests that are not answered yet.
    package private(set) var unanswered = 0

    package init() {}

    // MARK: Ours

    /// A Ping has been sent.
    package mutating func sentPing(_ id: ConfirmableID?, now: NIODeadline) { pings.append(Ping(id: id, sentAt: now)) }

    /// A Pong has come: for the oldest Ping, since connections keep the order.
    ///
    /// - Returns: who has waited for it.
    package mutating func tookPong() -> ConfirmableID? { pings.popFirst()?.id }

    /// When the oldest Ping without a Pong was sent; nil when there is none.
    package var oldestPing: NIODeadline? { pings.first?.sentAt }

    // MARK: Theirs

    /// A request has come.
    ///
    /// - Returns: the number of the section it belongs to, which its answer is to name.
    package mutating func tookRequest() -> UInt16 {
        unanswered += 1
        sections[sections.count - 1].unanswered += 1
        return firstSection &+ UInt16(sections.count - 1)
    }

    /// A Ping with Custody has come.
    ///
    /// - Returns: the tokens of the Pings that can be answered; nil when too many wait.
    package mutating func tookPing(_ token: Token) -> [Token]? {
        guard sections.count <= Self.mostWaiting else { return nil }
        sections[sections.count - 1].ping = token
        sections.append(Section())
        return takeAnswered()
    }

    /// A request of that section is answered.
    ///
    /// - Returns: the tokens of the Pings that can be answered now.
    package mutating func answered(_ section: UInt16) -> [Token] {
        let place = Int(section &- firstSection)
        guard place < sections.count, sections[place].unanswered > 0 else { return [] }
        unanswered -= 1
        sections[place].unanswered -= 1
        return takeAnswered()
    }

    private mutating func takeAnswered() -> [Token] {
        var tokens: [Token] = []
        while let section = sections.first, section.unanswered == 0, let token = section.ping {
            tokens.append(token)
            sections.removeFirst()
            firstSection &+= 1
        }
        return tokens
    }
}
