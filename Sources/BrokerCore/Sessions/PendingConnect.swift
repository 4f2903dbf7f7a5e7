/// A CONNECT whose authentication is pending.
final class PendingConnect: @unchecked Sendable {
    // Sendable as a handle; nothing but the core loop looks inside.

    let request: ConnectRequest
    /// The client's own Client Identifier, or an assigned one.
    let clientID: String
    let completion: (ConnectResult) -> Void
    /// The `Broker.credentialsGeneration` at the time of the request.
    var generation: UInt64 = 0

    init(_ request: ConnectRequest, clientID: String, _ completion: @escaping (ConnectResult) -> Void) {
        self.request = request
        self.clientID = clientID
        self.completion = completion
    }
}
