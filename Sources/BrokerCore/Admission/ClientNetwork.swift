import Glibc

/// The network of a client, which has a share of the limits: an IPv4 address, or the first 64 bits of an IPv6 address.
///
/// An owner of one IPv6 address usually has all 2⁶⁴ of its network.
package struct ClientNetwork: Hashable, Sendable {
    /// The address in network byte order; the first 4 or 8 bytes.
    private let bits: UInt64
    private let isIPv6: Bool

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
        guard let bytes = Self.bytes(of: String(host)) else { return nil }
        self.init(bytes: bytes)
    }

    /// The bytes of an IPv4 or IPv6 address in the forms that `inet_pton` reads; nil for other text.
    private static func bytes(of address: String) -> [UInt8]? {
        var ipv4 = in_addr()
        if inet_pton(AF_INET, address, &ipv4) == 1 { return withUnsafeBytes(of: &ipv4) { Array($0) } }
        var ipv6 = in6_addr()
        guard inet_pton(AF_INET6, address, &ipv6) == 1 else { return nil }
        return withUnsafeBytes(of: &ipv6) { Array($0) }
    }
}
