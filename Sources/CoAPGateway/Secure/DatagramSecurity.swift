import BrokerCore
import CoreRuntime
import NIOCore

/// What a `DatagramLayer` with DTLS has besides (RFC 6347).
final class DatagramSecurity {
    /// Sessions that begin in one turn, half of them of one address: each may cost a signature, and clients come again.
    private static let mostBeginnings = Quota.Limit(total: 64)

    let security: CoAPSecurity
    let context: SecureContext
    var handshakes: Handshakes
    /// Told of those that have to give way.
    let refusals: Refusals
    /// Of this turn.
    private var beginnings = Quota(mostBeginnings)
    /// Where messages are written before they are encrypted.
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: CoAPResponse.largestMessage, alignment: 16)

    /// - Throws: `SecureContext.Failed`, when the certificate can't be used.
    init(
        _ security: CoAPSecurity,
        handshakes: Int,
        refusals: Refusals,
        now: NIODeadline
    ) throws(SecureContext.Failed) {
        self.security = security
        self.refusals = refusals
        context = try SecureContext(security, .datagrams, now: now)
        self.handshakes = Handshakes(most: handshakes)
    }

    deinit { plaintext.deallocate() }

    func beganTurn() { if beginnings.used > 0 { beginnings = Quota(Self.mostBeginnings) } }

    /// Whether another session may begin in this turn, and begins.
    func mayBegin(_ address: PeerAddress) -> Bool {
        beginnings.take(for: Holder(network: address.network)) == nil
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

    /// Whether a ClientHello is the one that this session began with, once more.
    ///
    /// While the handshake is under way, a client that has heard nothing sends it again; later it has been on its way for
    /// long, or somebody has kept it.
    func began(with other: ClientHello, now: NIODeadline) -> Bool {
        hello == other && (session.isShakingHands || now < beganAt + HelloCookies.lifetime + HelloCookies.lifetime)
    }
}
