package import Auth
package import BrokerCore
package import Logging
package import NetworkListeners

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
    /// What one CoAP listener may hold for its clients.
    package var coap = CoAPLimits()
    package var storage = StorageConfiguration()
    /// Seconds from one publication of the `$SYS` topics to the next; 0 switches them off.
    package var systemInterval = 10
    package var log = LogConfiguration()

    /// The paths of the files of pre-shared keys that listeners name.
    var preSharedKeyFiles: Set<String> { Set(listeners.compactMap { $0.security?.preSharedKeyFile }) }

    /// The paths of the files that say something secret in the clear.
    private var secretFiles: Set<String> {
        var paths = preSharedKeyFiles
        paths.formUnion(listeners.compactMap { $0.security?.privateKey })
        paths.formUnion(webhooks.compactMap(\.secretFile))
        if case .secret(let path)? = access.tokens?.keyFile { paths.insert(path) }
        return paths
    }

    /// Those of them that anybody may read now.
    var openSecrets: [String] {
        secretFiles.sorted().filter(PrivateFile.isOpen)
            .map { "\($0): every user of this machine may read this secret: chmod 600 \($0)" }
    }
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
    /// Of `mqtt` and `http` listeners.
    package var proxies = ProxyOptions()
    /// Of `http` listeners only.
    package var http = HTTPOptions()
    /// What carries CoAP, on `coap` listeners.
    package var transport = Transport.udp
    /// TLS, or DTLS on `coap` listeners over UDP; nil listens in the clear.
    package var security: SecurityConfiguration?

    /// What carries CoAP.
    package enum Transport: String, CaseIterable, Sendable {
        case udp
        case tcp
    }
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
    /// The other origins whose pages may use the listener; `*` is any.
    package var allowedOrigins: [String] = []
    /// The names it serves under, besides those of loopback and its address; empty is any, but on loopback.
    package var hostnames: [String] = []
    /// Seconds a connection may stay without a request.
    package var idleTimeout = 75
    /// Seconds the body of a request may take.
    package var bodyTimeout = 30
    /// Whether `/` is the live page.
    package var livePage = true
}

/// Who stands before an `mqtt` or `http` listener.
package struct ProxyOptions: Equatable, Sendable {
    /// The proxies that are believed what they say of a client's address.
    package var trusted = TrustedProxies()
    /// Whether connections from trusted proxies begin with a PROXY protocol header.
    package var sendsHeader = false
}

/// How the peers of a listener are encrypted and told apart.
package struct SecurityConfiguration: Equatable, Sendable {
    /// Which name of a client's certificate is its user name.
    package enum Identity: String, CaseIterable, Sendable {
        case commonName = "common_name"
        case subjectAlternativeName = "san"
    }

    /// Whether clients must show a certificate.
    package enum ClientCertificate: String, CaseIterable, Sendable {
        case required
        case none
    }

    /// Devices and the keys they share with the broker, on `coap` listeners; nil takes none.
    package var preSharedKeyFile: String?
    /// The broker's own certificate and its key; both or none.
    package var certificate: String?
    package var privateKey: String?
    /// Who signs clients' certificates.
    package var clientAuthority: String?
    package var clientCertificate = ClientCertificate.none
    package var identity = Identity.commonName

    /// Whether nobody gets in who has not proven to be somebody.
    var knowsItsPeers: Bool { certificate == nil || clientCertificate == .required }
}

/// Who may connect.
package struct AccessConfiguration: Equatable, Sendable {
    /// Whether clients without credentials are let in; nil when the file does not say.
    package var anonymous: Bool?
    /// Users and their passwords; nil asks nobody for any.
    package var passwordFile: String?
    /// API keys, and the users they stand for.
    package var apiKeyFile: String?
    /// JSON Web Tokens; nil takes none.
    package var tokens: TokenConfiguration?
    /// Who may use which topics; nil lets everybody use all.
    package var aclFile: String?

    /// Whether there is anything clients can show to be let in.
    package var hasCredentials: Bool { passwordFile != nil || apiKeyFile != nil || tokens != nil }
    /// Whether clients without credentials are let in: when nothing else is said, those of a broker that knows none.
    package var allowsAnonymous: Bool { anonymous ?? !hasCredentials }
    /// Whether there is something to read again.
    package var hasFiles: Bool { hasCredentials || aclFile != nil }
}

/// Which JSON Web Tokens are good.
package struct TokenConfiguration: Equatable, Sendable {
    /// The file with what they are verified with.
    package enum KeyFile: Equatable, Sendable {
        case secret(String)
        case publicKey(String)
        case keySet(String)
    }

    package var keyFile: KeyFile
    package var rules = TokenRules()
}

/// What one CoAP listener may hold for its clients.
package struct CoAPLimits: Equatable, Sendable {
    /// Peers without observations that are remembered, and connections over TCP.
    package var endpoints = 50_000
    /// Sessions of `/mqtt/connection`.
    package var sessions = 100_000
    /// Observations of all peers, and of one.
    package var observations = 100_000
    package var observationsPerEndpoint = 64
    /// Requests the core has not answered yet.
    package var pendingRequests = 10_000
    /// Bytes of all unfinished uploads together.
    package var uploadBytes = 67_108_864
    /// Bytes of all bodies together that are kept while they are fetched in blocks.
    package var downloadBytes = 67_108_864
    /// DTLS handshakes under way.
    package var handshakes = 4_096
    /// Whether an address must prove to be the sender's before it gets much (RFC 9175).
    package var echo = false
    /// ACK_TIMEOUT (seconds), MAX_RETRANSMIT and NSTART (RFC 7252 §4.7, §4.8).
    package var acknowledgeTimeout = 2
    package var maximumRetransmissions = 4
    package var nstart = 1

    package init() {}
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
