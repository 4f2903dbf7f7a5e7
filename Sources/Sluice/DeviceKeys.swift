import Auth
import CoAPGateway

/// The pre-shared keys of all listeners, by the path of their file.
struct DeviceKeys: Sendable {
    private let keys: [String: PreSharedKeys]

    init(_ files: AccessFiles) { keys = files.preSharedKeys.mapValues { PreSharedKeys($0.keys) } }

    /// Those of one file.
    subscript(path: String) -> PreSharedKeys? { keys[path] }

    /// Goes on with what the files say now; devices whose key is another one have to come in again.
    func replace(_ files: AccessFiles) {
        for (path, keys) in keys {
            if let file = files.preSharedKeys[path] { keys.replace(file.keys) }
        }
    }
}

extension PreSharedKeyFile {
    fileprivate var keys: [[UInt8]: [UInt8]] {
        Dictionary(entries.map { (Array($0.identity.utf8), $0.key) }) { first, _ in first }
    }
}

extension CoAPListener.Configuration {
    /// - Parameter connections: virtual connections to the broker that may wait for requests.
    init(
        _ listener: ListenerConfiguration,
        _ limits: CoAPLimits,
        connections: Int,
        _ deviceKeys: DeviceKeys,
        _ certificate: Replaceable<CertificateText>?
    ) {
        self.init(host: listener.bind.host, port: listener.bind.port)
        transport = listener.transport == .tcp ? .tcp : .udp
        security = listener.security.map { CoAPSecurity($0, deviceKeys, certificate) }
        idleEndpoints = limits.endpoints
        sessions = limits.sessions
        observations = limits.observations
        observationsPerEndpoint = limits.observationsPerEndpoint
        pendingRequests = limits.pendingRequests
        uploadBytes = limits.uploadBytes
        downloadBytes = limits.downloadBytes
        idleClients = min(limits.endpoints, max(connections, 1))
        handshakes = limits.handshakes
        asksForEcho = limits.echo
        acknowledgeTimeout = limits.acknowledgeTimeout * 1_000
        maximumRetransmissions = limits.maximumRetransmissions
        nstart = limits.nstart
    }
}

extension CoAPSecurity {
    fileprivate init(
        _ configuration: SecurityConfiguration,
        _ deviceKeys: DeviceKeys,
        _ certificate: Replaceable<CertificateText>?
    ) {
        self.init(
            preSharedKeys: configuration.preSharedKeyFile.flatMap { deviceKeys[$0] },
            certificate: certificate,
            identity: configuration.identity == .commonName ? .commonName : .subjectAlternativeName
        )
    }
}
