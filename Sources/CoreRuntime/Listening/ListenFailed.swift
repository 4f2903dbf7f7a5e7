/// The broker could not listen on an address.
package struct ListenFailed: Error, CustomStringConvertible {
    /// `mqtt`, `http` or `coap`, with TLS or without.
    package let protocolName: String
    /// The address, `host:port`.
    package let address: String
    /// The system's message.
    package let reason: String

    package init(protocolName: String, address: String, reason: String) {
        self.protocolName = protocolName
        self.address = address
        self.reason = reason
    }

    package var description: String { "\(protocolName): cannot listen on \(address): \(reason)" }
}
