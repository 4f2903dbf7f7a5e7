package import MQTTCodec
package import NIOCore

/// Offers Authentication Methods: authentication by an exchange of messages (MQTT 5.0 §4.12).
///
/// Called on the core loop: it must not block.
package protocol EnhancedAuthenticator: AnyObject {
    /// Begins an exchange.
    ///
    /// - Parameters:
    ///   - method: the Authentication Method the client asks for, such as `SCRAM-SHA-256`.
    ///   - credentials: the client's other credentials; the Client Identifier is empty when the broker is to assign
    ///     one.
    /// - Returns: nil when the method is not offered.
    func begin(_ method: String, for credentials: Credentials) -> (any AuthenticationExchange)?
}

/// One client's exchange, when it connects or when it re-authenticates later.
package protocol AuthenticationExchange: AnyObject {
    /// Takes the client's next message; called on the core loop, so it must not block.
    ///
    /// After an answer other than `.continue` it is not called again.
    ///
    /// - Parameter message: Authentication Data; nil when the packet has none.
    func step(_ message: ByteBuffer?) -> AuthenticationStep
}

/// The server's answer to one message of an exchange.
package enum AuthenticationStep: Sendable {
    /// The client is to continue; with Authentication Data for it, or nil.
    case `continue`(ByteBuffer?)
    /// The client is authenticated; with the final Authentication Data for it, or nil.
    case accepted(userName: String?, ByteBuffer?)
    /// The client is refused.
    ///
    /// - Parameters:
    ///   - reason: for CONNACK; a client that re-authenticates gets Not authorized.
    ///   - detail: for the client and the log; it must not help to guess credentials.
    case refused(ReasonCode, detail: String)
}
