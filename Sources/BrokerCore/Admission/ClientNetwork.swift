package import NIOCore

/// The network of a client, which has a share of the limits: an IPv4 address, or the first 64 bits of an IPv6 address.
///
/// An owner of one IPv6 address usually has all 2⁶⁴ of its network.
package struct ClientNetwork: Hashable, Sendable {
    /// The address in network byte order; the first 4 or 8 bytes.
    private let bits: UInt64
    private let isIPv6: Bool

    /// - Returns: nil for an address that is no internet address.
    package init?(_ address: SocketAddress) {
        guard let bytes = address.internetAddress else { return nil }
        self.init(bytes: bytes)
    }

    /// - Parameter bytes: an address in network byte order, 4 or 16 bytes.
    package init?(bytes: [UInt8]) {
        switch bytes.count {
        case 4:
            isIPv6 = false
            bits = bytes.reduce(0) { $0 << 8 | UInt64($1) }
        case 16 where bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff:
            // An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2).
            isIPv6 = false
            bits = bytes[12...].reduce(0) { $0 << 8 | UInt64($1) }
        case 16:
            isIPv6 = true
            bits = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        default: return nil
        }
    }

    /// Reads an address as adapters write it: `192.0.2.7:50123`, `[2001:db8::1]:50123`, or without a port.
    ///
    /// - Returns: nil for text that is no internet address.
    package init?(_ text: String) {
        var host = text[...]
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            host = host[host.index(after: host.startIndex)..<end]
        } else if let colon = host.lastIndex(of: ":"), host.firstIndex(of: ":") == colon {
            host = host[..<colon]
        }
        guard let address = try? SocketAddress(ipAddress: String(host), port: 0) else { return nil }
        self.init(address)
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
