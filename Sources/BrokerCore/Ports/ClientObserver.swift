package import MQTTCodec

/// Is told what becomes of clients, for logs and metrics.
///
/// Called on the core loop: it must not block.
package protocol ClientObserver: AnyObject {
    /// Something has happened to a connection.
    func client(_ connection: VirtualConnection, _ event: ClientEvent)
}

/// What becomes of a client.
package enum ClientEvent: Sendable {
    /// It was let in.
    case connected(clientID: String, userName: String?)
    /// It was not let in.
    ///
    /// - Parameter detail: what it did wrong; nil when the reason says it all.
    case refused(ReasonCode, detail: String?)
    /// It has taken its leave, or its network connection has ended.
    case left(clientID: String, ReasonCode)
    /// The broker has ended the connection.
    ///
    /// - Parameter detail: what the client did wrong; nil when the reason says it all.
    case ended(clientID: String, ReasonCode, detail: String?)
}
