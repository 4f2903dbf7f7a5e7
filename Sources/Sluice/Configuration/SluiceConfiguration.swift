package import BrokerCore
package import HTTPGateway
package import Logging

/// All that one YAML file configures.
package struct SluiceConfiguration: Equatable, Sendable {
    /// The name of this broker in logs.
    package var node = "sluice"
    /// Event loops; the first one also hosts the core.
    package var threads: Int
    /// Exactly the listeners the file names.
    package var listeners: [ListenerConfiguration]
    /// What is posted where.
    package var webhooks: [WebhookOptions] = []
    package var access = AccessConfiguration()
    package var limits = Limits()
    /// What one session may hold for its client.
    package var queue = QueueLimits()
    package var storage = StorageBackend.memory
    /// Seconds from one publication of the `$SYS` topics to the next; 0 switches them off.
    package var systemInterval = 10
    package var log = LogConfiguration()
}

/// One address that is listened on.
package struct ListenerConfiguration: Equatable, Sendable {
    /// What is spoken there.
    package enum ProtocolName: String, CaseIterable, Sendable {
        case mqtt
        case http
        case coap
    }

    package var protocolName: ProtocolName
    package var bind: BindAddress
    /// Of `http` listeners only.
    package var http = HTTPOptions()
}

/// What can be said of an `http` listener.
package struct HTTPOptions: Equatable, Sendable {
    /// Where MQTT over WebSocket is served.
    package var websocketPath = "/mqtt"
    /// Whether a WebSocket that offers no subprotocol is refused; else it is taken for MQTT.
    package var requiresSubprotocol = true
    /// Seconds from one ping to the next; 0 sends none.
    package var pingInterval = 30
    /// Whether a pong counts for MQTT's Keep Alive.
    package var pongKeepsAlive = false
    /// The origins whose pages may use the listener; empty is any.
    package var allowedOrigins: [String] = []
    /// Whether `/` is the live page.
    package var livePage = true
    /// The proxies that are believed what they say of a client's address.
    package var trustedProxies = TrustedProxies()
    /// Whether connections from trusted proxies begin with a PROXY protocol header.
    package var proxyProtocol = false
}

/// Who may connect.
package struct AccessConfiguration: Equatable, Sendable {
    /// Whether clients without credentials are let in; nil when the file does not say.
    package var anonymous: Bool?
    /// Users and their passwords; nil asks nobody for any.
    package var passwordFile: String?
    /// Who may use which topics; nil lets everybody use all.
    package var aclFile: String?

    /// Whether clients without credentials are let in: when nothing else is said, those of a broker without passwords.
    package var allowsAnonymous: Bool { anonymous ?? (passwordFile == nil) }
    /// Whether there is something to read again.
    package var hasFiles: Bool { passwordFile != nil || aclFile != nil }
}

/// Where what outlives a connection is kept.
package enum StorageBackend: String, CaseIterable, Sendable {
    /// As long as the process lives.
    case memory
}

/// What is logged, and how.
package struct LogConfiguration: Equatable, Sendable {
    /// The form of a line.
    package enum Format: String, CaseIterable, Sendable {
        case text
        case json
    }

    package var level = Logger.Level.info
    package var format = Format.text
}
