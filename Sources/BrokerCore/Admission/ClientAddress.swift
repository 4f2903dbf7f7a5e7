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
}
