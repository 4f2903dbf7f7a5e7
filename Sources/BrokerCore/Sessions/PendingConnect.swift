/// A CONNECT whose credentials are being looked at.
final class PendingConnect: @unchecked Sendable {
    // Sendable as a handle; nothing but the core loop looks inside.

    let request: ConnectRequest
    /// The client's own, or an assigned one.
    let clientID: String
    let completion: (ConnectResult) -> Void
    /// `Broker.credentialsGeneration` when the authenticator was asked.
    var generation: UInt64 = 0

    init(_ request: ConnectRequest, clientID: String, _ completion: @escaping (ConnectResult) -> Void) {
        self.request = request
        self.clientID = clientID
        self.completion = completion
    }
}
