import CCoAPShim
import CLibcoap

/// Who stands at the door of a DTLS listener, and who is inside: see `hello.c`.
final class Door {
    private struct Peer {
        let endpoint: EndpointID
        /// Of the ClientHello it began with.
        let random: UInt64
        /// Its session was ended, since the device has begun anew.
        var isClosing = false

        /// No handshake has begun.
        var isWaitingForHello: Bool {
            coap_session_get_type(OpaquePointer(bitPattern: endpoint.rawValue)) == COAP_SESSION_TYPE_HELLO
        }
    }

    var door = coap_shim_door_t()
    /// The one whose socket is read.
    var context: OpaquePointer?
    private unowned var owner: CoAPContext?
    private var peers: [PeerAddress: Peer] = [:]
    /// Of the ClientHello that is being handed in.
    private var random: UInt64 = 0

    /// Nil when the system has no random bytes.
    init?() {
        guard coap_shim_door_init(&door) else { return nil }
    }

    func guarding(_ owner: CoAPContext) {
        self.owner = owner
        door.app = Unmanaged.passUnretained(self).toOpaque()
        door.proven = { app, peer, random in
            guard let app else { return COAP_SHIM_HELLO_DROP }
            return Unmanaged<Door>.fromOpaque(app).takeUnretainedValue().proven(PeerAddress(peer), random)
        }
    }

    /// A ClientHello has come from an address that was proven to be the sender's.
    private func proven(_ address: PeerAddress, _ random: UInt64) -> coap_shim_hello_t {
        if let peer = peers[address] {
            if peer.isWaitingForHello {
                // Its first one was nothing libcoap could agree to, and libcoap waits for a better one.
                peers[address] = Peer(endpoint: peer.endpoint, random: random)
                return COAP_SHIM_HELLO_PROVEN
            }
            // Sent again: the handshake is under way.
            if peer.random == random, !peer.isClosing { return COAP_SHIM_HELLO_PASS }
            guard peer.isClosing else {
                // The device has lost its state (RFC 6347 §4.2.8). The server lets go of the old session first.
                peers[address]?.isClosing = true
                owner?.disconnect(peer.endpoint)
                return COAP_SHIM_HELLO_LATER
            }
            var now: coap_tick_t = 0
            coap_ticks(&now)
            _ = coap_io_prepare_epoll(context, now)
            guard peers[address] == nil else { return COAP_SHIM_HELLO_DROP }
        }
        self.random = random
        return COAP_SHIM_HELLO_PROVEN
    }

    func entered(_ session: OpaquePointer) {
        peers[PeerAddress(session)] = Peer(endpoint: EndpointID(session), random: random)
    }

    func left(_ session: OpaquePointer) {
        let address = PeerAddress(session)
        if peers[address]?.endpoint == EndpointID(session) { peers[address] = nil }
    }
}
