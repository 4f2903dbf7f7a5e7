package import BrokerCore
package import Logging
package import Storage

/// All that one YAML file configures.
package struct SluiceConfiguration: Equatable, Sendable {
    /// The name of this broker in logs.
    package var node = "sluice"
    /// Event loops; the first one also hosts the core.
    package var threads: Int
    /// Exactly the listeners the file names.
    package var listeners: [ListenerConfiguration]
    package var access = AccessConfiguration()
    package var limits = Limits()
    /// What one session may hold for its client.
    package var queue = QueueLimits()
    package var storage = StorageConfiguration()
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
    /// Where MQTT over WebSocket is served, on `http` listeners.
    package var websocketPath = "/mqtt"
    /// The origins whose pages may open a WebSocket, on `http` listeners; empty is any.
    package var allowedOrigins: [String] = []
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
package struct StorageConfiguration: Equatable, Sendable {
    package enum Backend: String, CaseIterable, Sendable {
        /// In a directory.
        case rocksdb
        /// As long as the process lives.
        case memory
    }

    package var backend: Backend
    /// The directory.
    package var path: String
    package var durability: Durability

    package init(backend: Backend = .rocksdb, path: String = "./data", durability: Durability = .strict) {
        self.backend = backend
        self.path = path
        self.durability = durability
    }
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
