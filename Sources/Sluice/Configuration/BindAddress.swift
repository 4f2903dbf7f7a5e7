import NIOCore

/// An address to listen on, written `127.0.0.1:1883` or `[::1]:1883`.
package struct BindAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 address, without brackets.
    package let host: String
    /// 0 takes any free port.
    package let port: Int
    private let address: SocketAddress

    /// Reads an address.
    ///
    /// - Returns: nil when it is none.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let address = try? SocketAddress(ipAddress: String(host), port: Int(port)) else { return nil }
        self.host = String(host)
        self.port = Int(port)
        self.address = address
    }

    /// Whether only this machine can reach it.
    package var isLoopback: Bool {
        switch address {
        case .v4: host.hasPrefix("127.")
        case .v6: address.ipAddress == "::1"
        case .unixDomainSocket: true
        }
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
