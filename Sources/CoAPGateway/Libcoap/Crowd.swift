import CCoAPShim
import CLibcoap
import NIOCore

/// Keeps a flood of datagrams from ever new addresses from locking out the peers that are known.
///
/// For each new peer libcoap looks at all sessions of the context, to find idle ones to end: with thousands of them that
/// takes a hundred times as long as a datagram of a known peer, so that a flood fills the sockets and nobody gets through.
/// When that takes too much of the time, datagrams of strangers are dropped unread for a moment; a client that is real
/// sends its request again.
final class Crowd {
    /// Sessions that libcoap may look at for new peers within `span`: some 30 ms of work.
    private static let mostLooks = 3_000_000
    private static let span = TimeAmount.milliseconds(100)
    /// Datagrams looked at in one turn of a socket: enough to empty it faster than it fills.
    private static let depth: Int32 = 512

    private let contexts: Int
    private var peers: Set<Door.Address> = []
    private var looks = 0
    private var spanEnd = NIODeadline.distantPast

    /// - Parameter contexts: so many libcoap contexts share the peers.
    init(contexts: Int) { self.contexts = max(1, contexts) }

    /// Whether strangers have to wait.
    var isTooMuch: Bool { looks >= Self.mostLooks }

    /// Notes the time.
    func look() {
        let now = NIODeadline.now()
        guard spanEnd <= now else { return }
        spanEnd = now + Self.span
        looks = 0
    }

    func entered(_ session: OpaquePointer) {
        peers.insert(Door.Address(coap_shim_peer_of_session(session)))
        looks += peers.count / contexts
    }

    func left(_ session: OpaquePointer) { peers.remove(Door.Address(coap_shim_peer_of_session(session))) }

    /// Takes in what known peers have sent.
    func pump(_ idleContext: OpaquePointer, _ socket: inout coap_shim_socket_t) {
        _ = coap_shim_pump_known(
            idleContext,
            &socket,
            Self.depth,
            Unmanaged.passUnretained(self).toOpaque()
        ) { app, peer in
            guard let app else { return true }
            return Unmanaged<Crowd>.fromOpaque(app).takeUnretainedValue().peers.contains(Door.Address(peer))
        }
    }
}
