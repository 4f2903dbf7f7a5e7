import BrokerCore
package import CSockets

/// A peer's address and port, and the address of ours that it talks to: what RFC 7252 §1.2 calls two endpoints.
package struct PeerAddress: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64
    /// The port, and which network a link-local address is of.
    private let port: UInt64
    private let localHigh: UInt64
    private let localLow: UInt64

    /// An IPv4 peer, both in host byte order.
    package init(ipv4 address: UInt32, port: UInt16) {
        high = 0
        low = UInt64(address.bigEndian)
        self.port = UInt64(port.bigEndian)
        localHigh = 0
        localLow = 0
    }

    /// Who sent a datagram.
    package init(_ path: borrowing datagram_path_t) {
        if Int32(path.peer.sin6_family) == AF_INET6 {
            (high, low) = unsafeBitCast(path.peer.sin6_addr, to: (UInt64, UInt64).self)
            port = UInt64(path.peer.sin6_port) | UInt64(path.peer.sin6_scope_id) << 16
        } else {
            // A sockaddr_in has its address where the other one has the flow label.
            high = 0
            low = UInt64(path.peer.sin6_flowinfo)
            port = UInt64(path.peer.sin6_port)
        }
        (localHigh, localLow) = unsafeBitCast(path.local, to: (UInt64, UInt64).self)
    }

    /// Which address of ours it talks to makes little difference, and is nothing that it could choose at will.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(high)
        hasher.combine(low)
        hasher.combine(port)
    }

    /// A hash that nobody can choose.
    var bits: UInt64 { UInt64(bitPattern: Int64(hashValue)) }

    /// Whose shares it uses.
    var network: ClientNetwork? {
        guard high != 0 || low > UInt64(UInt32.max) else {
            return withUnsafeBytes(of: UInt32(truncatingIfNeeded: low)) { ClientNetwork(bytes: [UInt8]($0)) }
        }
        return withUnsafeBytes(of: (high, low)) { ClientNetwork(bytes: [UInt8]($0)) }
    }

    /// Lends its bytes.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: (high, low, port, localHigh, localLow), body)
    }
}
