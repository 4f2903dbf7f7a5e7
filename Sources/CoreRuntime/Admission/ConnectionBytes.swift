package import BrokerCore
import NIOConcurrencyHelpers

/// Limits the bytes that connections keep, in total and for each network.
///
/// They are bytes of incomplete packets, requests and messages, of those that wait for an answer, and of answers that
/// are not read. The first few bytes of each connection are not counted, so that most connections never use the lock.
package final class ConnectionBytes: Sendable {
    /// Bytes of each connection that are not counted.
    package static let free = 4_096
    /// Bytes that a connection takes at a time.
    private static let step = 16_384

    private let quota: NIOLockedValueBox<Quota>
    private let refusals: Refusals

    package init(_ limit: Quota.Limit, refusals: Refusals = Refusals()) {
        quota = NIOLockedValueBox(Quota(limit))
        self.refusals = refusals
    }

    /// Bytes in use, in whole steps.
    package var used: Int { quota.withLockedValue { $0.used } }

    /// The account of one connection; its bytes are released when the account is deallocated.
    package func account(of address: ClientAddress) -> Account { Account(self, address) }

    /// One connection's account; confined to one event loop.
    package final class Account {
        private let bytes: ConnectionBytes
        private let address: ClientAddress
        private var held = 0

        fileprivate init(_ bytes: ConnectionBytes, _ address: ClientAddress) {
            self.bytes = bytes
            self.address = address
        }

        deinit { if held > 0 { bytes.change(by: -held, address) } }

        /// Sets the number of bytes that the connection keeps.
        ///
        /// - Returns: the reason why it may not; nothing has changed then.
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
