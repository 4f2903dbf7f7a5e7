import NIOCore

/// What a `DatagramLayer` with DTLS has besides (RFC 6347).
struct DatagramSecurity {
    /// Sessions that begin in one turn; those beyond come again. Each may cost a signature.
    static let mostBeginnings = 64

    let context: SecureContext
    var handshakes: Handshakes
    /// In this turn.
    var beginnings = 0
    /// Where messages are written before they are encrypted.
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: CoAPResponse.largestMessage, alignment: 16)

    /// - Throws: `SecureContext.Failed`, when the certificate can't be used.
    init(
        _ security: CoAPSecurity,
        handshakes: Int,
        now: NIODeadline
    ) throws(SecureContext.Failed) {
        context = try SecureContext(security, .datagrams, now: now)
        self.handshakes = Handshakes(most: handshakes)
    }
}

/// What belongs to a peer that speaks DTLS.
final class SecurePeer {
    let session: SecureSession
    /// What it began with.
    private let hello: ClientHello
    private let beganAt: NIODeadline
    /// Who the peer has proven to be; nil before the handshake is over, and for those who need not say.
    var identity: TransportIdentity?

    init(_ session: SecureSession, _ hello: ClientHello, now: NIODeadline) {
        self.session = session
        self.hello = hello
        beganAt = now
    }

    /// Whether a ClientHello is the one that this session began with, once more. While the handshake is under way it is sent again
    /// by a client that has heard nothing; later it has been on its way for long, or somebody has kept it.
    func began(with other: ClientHello, now: NIODeadline) -> Bool {
        hello == other && (session.isShakingHands || now < beganAt + HelloCookies.lifetime + HelloCookies.lifetime)
    }
}
