import Crypto
package import NIOCore

/// What proves that a peer's address is its own: a value that is sent there and that comes back (RFC 9175 §2); sans I/O.
///
/// It is a keyed hash of the address and the minute, so that nothing need be remembered.
package struct EchoGuard {
    /// How long a value is good for, at least.
    static let lifetime = TimeAmount.seconds(60)
    private static let length = 8

    /// Whether no request is carried out without it (`coap.echo`).
    package let isRequired: Bool
    private let key = SymmetricKey(size: .bits256)

    package init(isRequired: Bool = false) { self.isRequired = isRequired }

    /// The value for a peer.
    package func value(for address: PeerAddress, now: NIODeadline) -> [UInt8] { value(address, Self.minute(now)) }

    /// Whether a value is the peer's, and not out of date.
    package func proves(_ value: [UInt8], _ address: PeerAddress, now: NIODeadline) -> Bool {
        guard value.count == Self.length else { return false }
        let minute = Self.minute(now)
        return [minute, minute &- 1].contains { isEqual(value, self.value(address, $0)) }
    }

    private static func minute(_ now: NIODeadline) -> UInt64 { now.uptimeNanoseconds / UInt64(lifetime.nanoseconds) }

    /// Takes as long whatever differs.
    private func isEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        zip(one, other).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private func value(_ address: PeerAddress, _ minute: UInt64) -> [UInt8] {
        var hash = HMAC<SHA256>(key: key)
        address.withBytes { hash.update(data: $0) }
        withUnsafeBytes(of: minute) { hash.update(data: $0) }
        return Array(hash.finalize().prefix(Self.length))
    }
}
