/// What a path names.
package enum Route: Sendable, Equatable {
    /// Publishes; the topic is in the query or in the body.
    case publish
    /// A topic's retained message, and its place to publish to. The path is as it came.
    case topic(path: String)
    /// Streams and long-polls.
    case subscribe
    /// MQTT over WebSocket.
    case webSocket

    private static let topicPrefix = "/v1/topics/"

    /// - Returns: nil for a path that names nothing.
    package init?(path: String, webSocketPath: String) {
        switch path {
        case webSocketPath: self = .webSocket
        case "/publish", "/v1/publish": self = .publish
        case "/v1/subscribe": self = .subscribe
        default:
            guard path.hasPrefix(Self.topicPrefix) else { return nil }
            self = .topic(path: String(path.dropFirst(Self.topicPrefix.count)))
        }
    }

    /// The methods it has, as Allow names them.
    package var methods: [String] {
        switch self {
        case .publish: ["POST", "OPTIONS"]
        case .topic: ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
        case .subscribe: ["GET", "OPTIONS"]
        case .webSocket: ["GET"]
        }
    }
}
