package import NIOCore

/// Keeps a flood of datagrams from ever new addresses from locking out the peers that are known.
///
/// For each new peer libcoap looks at all sessions of the context, to find idle ones to end: with thousands of them that
/// takes a hundred times as long as a datagram of a known peer, so that a flood fills the sockets and nobody gets through.
/// When that takes too much of the time, datagrams of strangers are dropped unread for a moment; a client that is real
/// sends its request again.
package final class Crowd {
    /// How much may be done for strangers.
    package struct Bounds: Sendable {
        /// Sessions that libcoap may look at for new peers within `span`: some 30 ms of work.
        package var looks = 3_000_000
        package var span = TimeAmount.milliseconds(100)

        package init() {}
    }

    private let contexts: Int
    private let bounds: Bounds
    private var peers: Set<PeerAddress> = []
    private var looks = 0
    private var spanEnd = NIODeadline.distantPast

    /// - Parameter contexts: so many libcoap contexts share the peers.
    package init(contexts: Int, bounds: Bounds = Bounds()) {
        self.contexts = max(1, contexts)
        self.bounds = bounds
    }

    /// Whether strangers have to wait.
    package var isTooMuch: Bool { looks >= bounds.looks }

    /// Notes the time.
    package func look(now: NIODeadline) {
        guard spanEnd <= now else { return }
        spanEnd = now + bounds.span
        looks = 0
    }

    /// A peer has become known.
    package func entered(_ peer: PeerAddress) {
        peers.insert(peer)
        looks += max(peers.count / contexts, 1)
    }

    /// A peer was forgotten.
    package func left(_ peer: PeerAddress) { peers.remove(peer) }

    /// Whether a datagram from there is wanted while strangers have to wait.
    package func knows(_ peer: PeerAddress) -> Bool { peers.contains(peer) }
}
