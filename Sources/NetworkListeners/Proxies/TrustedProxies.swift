import BrokerCore
import CoreRuntime
package import NIOCore

/// The reverse proxies and load balancers whose word on a client's address is taken.
package struct TrustedProxies: Sendable, Equatable {
    private var ranges: [AddressRange] = []

    /// Trusts nobody.
    package init() {}

    package init(_ ranges: [AddressRange]) { self.ranges = ranges }

    /// Whether there is none.
    package var isEmpty: Bool { ranges.isEmpty }

    /// Whether an address is one of theirs.
    package func contains(_ address: IPAddress) -> Bool { ranges.contains { $0.contains(address) } }

    /// Whether the other end of a connection is one of theirs.
    package func contains(_ peer: SocketAddress?) -> Bool { peer.flatMap(IPAddress.init).map(contains) ?? false }

    /// The client's address by the word of proxies: the last one in X-Forwarded-For that is no trusted proxy itself.
    ///
    /// What stands before it was written by somebody nobody knows.
    ///
    /// - Parameters:
    ///   - peer: the other end of the connection.
    ///   - forwarded: the field's values, each line by itself.
    /// - Returns: nil when the peer is to be taken for the client.
    package func client(behind peer: IPAddress, _ forwarded: [String]) -> IPAddress? {
        guard contains(peer) else { return nil }
        var found: IPAddress?
        for text in forwarded.flatMap({ $0.split { ", \t".contains($0) } }).reversed() {
            guard let address = IPAddress(forwarded: String(text)) else { return found }
            found = address
            guard contains(address) else { return found }
        }
        return found
    }
}

/// An IPv4 or IPv6 address; an IPv4 one that is written as IPv6 is an IPv4 one.
package struct IPAddress: Sendable, Hashable, CustomStringConvertible {
    /// 4 or 16.
    package let bytes: [UInt8]

    /// - Returns: nil when it is neither 4 nor 16 bytes.
    package init?(bytes: [UInt8]) {
        let isMapped = bytes.count == 16 && bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10...11] == [0xff, 0xff]
        self.bytes = isMapped ? Array(bytes[12...]) : bytes
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
    }

    /// - Returns: nil when the text is none.
    package init?(_ text: String) {
        guard let address = try? SocketAddress(ipAddress: text, port: 0) else { return nil }
        self.init(address)
    }

    /// - Returns: nil for what is no internet address.
    package init?(_ address: SocketAddress) {
        guard let bytes = address.internetAddress else { return nil }
        self.init(bytes: bytes)
    }

    /// Reads one entry of X-Forwarded-For: some proxies add a port, and then brackets.
    init?(forwarded text: String) {
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            self.init(String(text[text.index(after: text.startIndex)..<end]))
        } else if text.split(separator: ":", omittingEmptySubsequences: false).count == 2 {
            self.init(String(text.prefix { $0 != ":" }))
        } else {
            self.init(text)
        }
    }

    package var description: String {
        guard bytes.count == 16 else { return bytes.map(String.init).joined(separator: ".") }
        return (try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: 0).ipAddress) ?? ""
    }
}

/// Addresses that begin with the same bits: `10.0.0.0/8`, or one address alone.
package struct AddressRange: Sendable, Equatable {
    private let network: [UInt8]
    private let prefixLength: Int

    /// - Returns: nil when the text is neither an address nor a range.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = parts.first.flatMap({ IPAddress(String($0)) }) else { return nil }
        let bits = address.bytes.count * 8
        let length = parts.count == 2 ? Int(parts[1]) : bits
        guard let length, (0...bits).contains(length) else { return nil }
        network = address.bytes
        prefixLength = length
    }

    func contains(_ address: IPAddress) -> Bool {
        guard address.bytes.count == network.count else { return false }
        for (place, (byte, wanted)) in zip(address.bytes, network).enumerated() {
            let bits = min(max(prefixLength - place * 8, 0), 8)
            let mask = UInt8(truncatingIfNeeded: 0xff << (8 - bits))
            guard byte & mask == wanted & mask else { return false }
        }
        return true
    }
}
