package import BrokerCore

/// A TLS connection that did not come about.
package struct HandshakeFailure: Sendable {
    /// The client, or the proxy before it.
    package let address: ClientAddress
    package let words: String
    /// Whether it happens without anybody's mistake: a client that left.
    package let isOrdinary: Bool

    package init(address: ClientAddress, words: String, isOrdinary: Bool = false) {
        self.address = address
        self.words = words
        self.isOrdinary = isOrdinary
    }
}
