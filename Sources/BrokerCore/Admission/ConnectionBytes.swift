import NIOConcurrencyHelpers

/// What connections keep of packets, requests and messages that are not whole yet or wait for an answer, and of answers
/// that are not read: so many bytes in all, and so many for one network.
///
/// The first few bytes of each connection are free, so that most never ask.
package final class ConnectionBytes: Sendable {
    /// Bytes of each connection that are not counted.
    package static let free = 4_096
    /// Bytes that are asked for at a time.
    private static let step = 16_384

    private let quota: NIOLockedValueBox<Quota>
    private let refusals: Refusals

    package init(_ limit: Quota.Limit, refusals: Refusals = Refusals()) {
        quota = NIOLockedValueBox(Quota(limit))
        self.refusals = refusals
    }

    /// Bytes that are held, in whole steps.
    package var used: Int { quota.withLockedValue { $0.used } }

    /// What one connection holds; it is given back when nobody has the account any more.
    package func account(of address: ClientAddress) -> Account { Account(self, address) }

    /// One connection's; confined to one event loop.
    package final class Account {
        private let bytes: ConnectionBytes
        private let address: ClientAddress
        private var held = 0

        fileprivate init(_ bytes: ConnectionBytes, _ address: ClientAddress) {
            self.bytes = bytes
            self.address = address
        }

        deinit { if held > 0 { bytes.change(by: -held, address) } }

        /// The connection holds so many bytes now.
        ///
        /// - Returns: why it must not; nothing has changed then.
        package func hold(_ count: Int) -> Quota.Refusal? {
            let wanted =
                count <= ConnectionBytes.free
                ? 0 : (count + ConnectionBytes.step - 1) / ConnectionBytes.step * ConnectionBytes.step
            guard wanted != held else { return nil }
            guard wanted > held else {
                bytes.change(by: wanted - held, address)
                held = wanted
                return nil
            }
            if let refusal = bytes.take(wanted - held, address) { return refusal }
            held = wanted
            return nil
        }
    }

    private func take(_ count: Int, _ address: ClientAddress) -> Quota.Refusal? {
        let refusal = quota.withLockedValue { $0.take(count, for: Holder(network: address.network)) }
        if refusal != nil { refusals.note(.connectionBytes, "\(address)") }
        return refusal
    }

    private func change(by count: Int, _ address: ClientAddress) {
        quota.withLockedValue { $0.add(count, for: Holder(network: address.network)) }
    }
}
