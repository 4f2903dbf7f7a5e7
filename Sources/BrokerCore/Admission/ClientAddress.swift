package import NIOCore

/// Where a client is: as text, in the one form that all protocols use, and as the network whose share it uses.
package struct ClientAddress: Sendable, Equatable, CustomStringConvertible {
    /// `192.0.2.7:50123`, `[2001:db8::1]:50123`; without a port where nobody says it; empty when it is not known.
    package let description: String
    /// Whose share of what is for all its client uses; nil when that is nobody's: of a trusted proxy that has not said for
    /// whom it speaks, and of what has no internet address.
    package let network: ClientNetwork?

    /// - Parameter isProxy: whether it is a trusted proxy's that has not said for whom it speaks.
    package init(_ description: String, network: ClientNetwork?, isProxy: Bool = false) {
        self.description = description
        self.network = isProxy ? nil : network
    }

    /// Reads an address as adapters write it; see `description`.
    package init(_ text: String, isProxy: Bool = false) {
        self.init(text, network: isProxy ? nil : ClientNetwork(text))
    }

    /// The other end of a connection.
    package init(_ peer: SocketAddress?, isProxy: Bool = false) {
        let network = peer.flatMap { ClientNetwork($0) }
        guard let peer, let host = peer.ipAddress, let port = peer.port else {
            self.init("", network: network, isProxy: isProxy)
            return
        }
        // An IPv4 address that is written as IPv6 (RFC 4291 §2.5.5.2) is an IPv4 one.
        let isMapped = host.hasPrefix("::ffff:") && host.contains(".")
        let isIPv6 = host.contains(":") && !isMapped
        self.init(
            isIPv6 ? "[\(host)]:\(port)" : "\(isMapped ? String(host.dropFirst(7)) : host):\(port)",
            network: network,
            isProxy: isProxy
        )
    }
}
