package import BrokerCore
package import HTTPTypes
import MQTTCodec

/// What a path names.
package enum Route: Sendable, Equatable {
    /// Publishes; the topic is in the query or in the body.
    case publish
    /// A topic's retained message, and its place to publish to. The path is as it came.
    case topic(path: String)
    /// Publishes a request and waits for its response. The path is as it came.
    case request(path: String)
    /// Streams and long-polls.
    case subscribe
    /// Session tokens.
    case token
    /// Whether the broker can do what it is for.
    case health
    /// A file that the gateway itself serves.
    case file(StaticFile)
    /// MQTT, and `sluice.json`, over WebSocket.
    case webSocket

    private static let topicPrefix = "/v1/topics/"
    private static let requestPrefix = "/v1/request/"

    /// - Parameter hasLivePage: whether `/` is the live page.
    /// - Returns: nil for a path that names nothing.
    package init?(path: String, webSocketPath: String, hasLivePage: Bool) {
        switch path {
        case webSocketPath: self = .webSocket
        case "/publish", "/v1/publish": self = .publish
        case "/v1/subscribe": self = .subscribe
        case "/v1/token": self = .token
        case "/v1/health": self = .health
        default:
            if path.begins(with: Self.topicPrefix) {
                self = .topic(path: String(Substring(path.utf8.dropFirst(Self.topicPrefix.utf8.count))))
            } else if path.begins(with: Self.requestPrefix) {
                self = .request(path: String(Substring(path.utf8.dropFirst(Self.requestPrefix.utf8.count))))
            } else if let file = StaticFile(path: path), hasLivePage || !file.isLivePage {
                self = .file(file)
            } else {
                return nil
            }
        }
    }

    /// The parameters that a query may have; nil where there is nothing that it could say.
    package func parameters(_ method: HTTPRequest.Method) -> KnownNames? {
        // Not of all: what it is for is said where it is not.
        let client: KnownNames = ["clientid", "access_token"]
        let message: KnownNames = ["qos", "retain", "expiry", "response_topic", "correlation_data"]
        return switch self {
        case .publish: client + message + ["topic"]
        case .topic: method == .get || method == .head ? client : client + message
        case .request: client + message + ["timeout"]
        case .subscribe:
            client + ["topic", "qos", "clean", "se", "nl", "rh", "wait", "max", "cursor"] + Self.lastEventID
        case .token: client + ["expires_in"]
        case .health, .file, .webSocket: nil
        }
    }

    /// The second one is what the EventSource polyfill of most pages writes.
    static let lastEventID: KnownNames = ["last_event_id", "lastEventId"]

    /// The methods it has, as Allow names them.
    package var methods: [String] {
        switch self {
        case .publish, .request: ["POST", "OPTIONS"]
        case .topic: ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
        case .subscribe: ["GET", "OPTIONS"]
        case .token: ["POST", "DELETE", "OPTIONS"]
        case .file, .health: ["GET", "HEAD", "OPTIONS"]
        case .webSocket: ["GET", "OPTIONS"]
        }
    }
}
