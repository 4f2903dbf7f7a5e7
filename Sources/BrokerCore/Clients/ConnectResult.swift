package import MQTTCodec

/// The broker's answer to CONNECT.
package struct ConnectResult: Sendable {
    /// Success, or the error; on an error no session is attached and the adapter closes.
    package let reasonCode: ReasonCode
    /// Whether a former session continues.
    package let sessionPresent: Bool
    /// The Client Identifier in use.
    package let clientID: String
    /// The number of this session, which no other session of the Client Identifier has; `.none` when refused.
    package let sessionNumber: SessionNumber
    /// Whether the broker assigned the Client Identifier.
    package let isAssigned: Bool
    /// Seconds that the session will outlive its connection, after the server's limit.
    package let sessionExpiryInterval: UInt32
    /// The Keep Alive in force, in seconds, after the server's limit.
    package let keepAlive: UInt16

    /// The answer to a client that is refused.
    package static func refused(_ reason: ReasonCode, clientID: String) -> ConnectResult {
        ConnectResult(
            reasonCode: reason,
            sessionPresent: false,
            clientID: clientID,
            sessionNumber: .none,
            isAssigned: false,
            sessionExpiryInterval: 0,
            keepAlive: 0
        )
    }
}
