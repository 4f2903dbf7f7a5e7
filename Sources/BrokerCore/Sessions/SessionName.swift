package import MQTTCodec

/// The name of a session: a client's Client Identifier, or the name of one of the broker's own, such as a webhook's.
///
/// The two are separate: no Client Identifier finds one of the broker's own sessions.
package struct SessionName: Hashable, Sendable {
    package let clientID: ExactText
    /// Whether it names one of the broker's own sessions.
    package let isOwn: Bool

    private init(_ clientID: String, isOwn: Bool) {
        self.clientID = ExactText(clientID)
        self.isOwn = isOwn
    }

    /// The name of a client's session.
    package static func client(_ clientID: String) -> SessionName { SessionName(clientID, isOwn: false) }

    /// The name of one of the broker's own sessions.
    package static func own(_ name: String) -> SessionName { SessionName(name, isOwn: true) }

    /// The Client Identifier in the log and for access rules.
    package var string: String { clientID.string }
}
