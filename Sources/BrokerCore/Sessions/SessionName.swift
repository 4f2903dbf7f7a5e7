package import MQTTCodec

/// What a session is found by: a client's Client Identifier, or the name of one of the broker's own, such as a webhook's.
///
/// They are apart: whatever a client calls itself, it never finds one of the broker's own.
package struct SessionName: Hashable, Sendable {
    package let clientID: ExactText
    /// Whether it is one of the broker's own.
    package let isOwn: Bool

    private init(_ clientID: String, isOwn: Bool) {
        self.clientID = ExactText(clientID)
        self.isOwn = isOwn
    }

    /// A client's.
    package static func client(_ clientID: String) -> SessionName { SessionName(clientID, isOwn: false) }

    /// One of the broker's own.
    package static func own(_ name: String) -> SessionName { SessionName(name, isOwn: true) }

    /// The Client Identifier it has in the log and to access rules.
    package var string: String { clientID.string }
}
