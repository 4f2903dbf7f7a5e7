package import BrokerCore
package import NIOCore

extension ClientAddress {
    /// Reads the address of a connection's peer.
    package init(_ peer: SocketAddress?, isProxy: Bool = false) {
        let network = peer.flatMap { ClientNetwork($0) }
        guard let peer, let host = peer.ipAddress, let port = peer.port else {
            self.init("", network: network, isProxy: isProxy)
            return
        }
        // An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) counts as its IPv4 address.
        let isMapped = host.hasPrefix("::ffff:") && host.contains(".")
        let isIPv6 = host.contains(":") && !isMapped
        self.init(
            isIPv6 ? "[\(host)]:\(port)" : "\(isMapped ? String(host.dropFirst(7)) : host):\(port)",
            network: network,
            isProxy: isProxy
        )
    }
}

extension ClientNetwork {
    /// - Returns: nil for an address that is no internet address.
    package init?(_ address: SocketAddress) {
        guard let bytes = address.internetAddress else { return nil }
        self.init(bytes: bytes)
    }
}

extension SocketAddress {
    /// The internet address in network byte order, 4 or 16 bytes; nil for another kind of address.
    package var internetAddress: [UInt8]? {
        // The position of the address in the system's sockaddr_in or sockaddr_in6.
        let place: Range<Int>
        switch self {
        case .v4: place = 4..<8
        case .v6: place = 8..<24
        case .unixDomainSocket: return nil
        }
        return withSockAddr { pointer, size in Array(UnsafeRawBufferPointer(start: pointer, count: size)[place]) }
    }
}
