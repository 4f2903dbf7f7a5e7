import CCoAPShim
import CLibcoap
import NIOCore

/// Keeps a flood of datagrams from ever new addresses from locking out the peers that are known.
///
/// A new peer costs a hundred times as much as a datagram, so that a flood fills the sockets and nobody gets through. When
/// too many come, datagrams of strangers are dropped unread for a moment; a client that is real sends its request again.
final class Crowd {
    /// New peers within `span` beyond which no more are let in.
    private static let mostNewcomers = 200
    private static let span = TimeAmount.milliseconds(100)
    /// Datagrams looked at in one turn of a socket: enough to empty it faster than it fills.
    private static let depth: Int32 = 512

    private var peers: Set<Door.Address> = []
    private var newcomers = 0
    private var spanEnd = NIODeadline.distantPast

    /// Whether strangers have to wait.
    var isTooMuch: Bool { newcomers >= Self.mostNewcomers }

    /// Notes the time.
    func look() {
        let now = NIODeadline.now()
        guard spanEnd <= now else { return }
        spanEnd = now + Self.span
        newcomers = 0
    }

    func entered(_ session: OpaquePointer) {
        peers.insert(Door.Address(coap_shim_peer_of_session(session)))
        newcomers += 1
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
