import CCoAPShim

/// A peer's address and port.
package struct PeerAddress: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64
    private let port: UInt64

    /// An IPv4 peer, both in host byte order.
    package init(ipv4 address: UInt32, port: UInt16) {
        high = 0
        low = UInt64(address.bigEndian)
        self.port = UInt64(port.bigEndian)
    }

    init(_ peer: coap_shim_peer_t) { (high, low, port) = (peer.high, peer.low, peer.port) }

    /// The peer of a session of libcoap's.
    init(_ session: OpaquePointer) { self.init(coap_shim_peer_of_session(session)) }
}
