import CSockets
package import NIOCore

/// A peer that is remembered, and what may be sent to it.
package final class Peer {
    /// How many times the bytes that came from it may go to an address that may be another's (RFC 7252 §11.3, RFC 9175 §2.4).
    package static let amplification = 3

    package let address: PeerAddress
    package let id: EndpointID
    /// How the last datagram came, and answers go.
    var path: datagram_path_t
    var heardAt: NIODeadline
    /// Its DTLS, where there is some.
    var secure: SecurePeer?
    /// Its session is over.
    var hasLeft = false
    /// Reasons not to forget it.
    package internal(set) var holds = 0
    /// Whether it was heard of more than once, or its address is proven to be its own.
    package internal(set) var isKnown: Bool
    /// Whether it has answered what only its address could have got.
    package internal(set) var isProven: Bool
    /// Whether it was sent a ping for that.
    var isAsked = false
    private var unproven = Unproven()
    private var lastMessageID = UInt16.random(in: .min ... .max)

    /// What counts until it is proven.
    private struct Unproven {
        /// Acknowledgements of nothing that have come.
        var guesses = 0
        /// Bytes that may be sent.
        var credit = 0
    }

    init(
        _ address: PeerAddress,
        _ path: datagram_path_t,
        id: EndpointID,
        isKnown: Bool,
        isProven: Bool,
        now: NIODeadline
    ) {
        self.address = address
        self.path = path
        self.id = id
        self.isKnown = isKnown
        self.isProven = isProven
        heardAt = now
    }

    /// Bytes that may be sent before its address is proven.
    package var credit: Int { unproven.credit }

    /// Bytes have come from it.
    package func received(_ bytes: Int, now: NIODeadline) {
        heardAt = now
        if !isProven { unproven.credit += Self.amplification * bytes }
    }

    /// Bytes are to be sent to it.
    ///
    /// - Returns: whether they may.
    package func spend(_ bytes: Int) -> Bool {
        guard !isProven else { return true }
        guard bytes <= unproven.credit else { return false }
        unproven.credit -= bytes
        return true
    }

    /// Acknowledgements of nothing beyond which one that fits proves nothing: Message IDs can be guessed.
    package static let mostGuesses = 8

    /// Something was acknowledged that is not on its way.
    package func guessed() { unproven.guesses += 1 }

    /// Whether an acknowledgement that fits shows that the peer has got what is acknowledged.
    package var isCredible: Bool { unproven.guesses <= Self.mostGuesses }

    /// The next Message ID of ours (RFC 7252 §4.4).
    package func newMessageID() -> UInt16 {
        lastMessageID &+= 1
        return lastMessageID
    }
}
