package import NIOCore

/// The address of a client: as text in one form for all protocols, and as the network whose share it uses.
package struct ClientAddress: Sendable, Equatable, CustomStringConvertible {
    /// `192.0.2.7:50123`, `[2001:db8::1]:50123`; without a port when it is not known; empty when the address is not
    /// known.
    package let description: String
    /// The network whose share of the limits the client uses; nil uses no share.
    ///
    /// It is nil for a trusted proxy that has not named its client, and for an address that is no internet address.
    package let network: ClientNetwork?

    /// - Parameter isProxy: whether the address is that of a trusted proxy that has not named its client.
    package init(_ description: String, network: ClientNetwork?, isProxy: Bool = false) {
        self.description = description
        self.network = isProxy ? nil : network
    }

    /// Reads an address as adapters write it; see `description`.
    package init(_ text: String, isProxy: Bool = false) {
        self.init(text, network: isProxy ? nil : ClientNetwork(text))
    }

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
