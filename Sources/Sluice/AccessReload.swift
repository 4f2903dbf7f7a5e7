import Auth
import BrokerCore
import Logging
import ServiceLifecycle
import UnixSignals

/// Reads the access files and the certificates again at SIGHUP; when one of them is wrong, nothing changes.
struct AccessReload: Service {
    private let configuration: SluiceConfiguration
    private let files: AccessFiles
    private let gate: AccessGate
    private let deviceKeys: DeviceKeys
    private let tls: ListenerTLS
    private let core: CoreLoop
    private let hangUps: UnixSignalsSequence
    private let logger: Logger

    /// From now on SIGHUP does not end the process.
    ///
    /// - Parameter files: what the gate has now.
    init(
        _ configuration: SluiceConfiguration,
        files: AccessFiles,
        gate: AccessGate,
        deviceKeys: DeviceKeys,
        tls: ListenerTLS,
        core: CoreLoop,
        logger: Logger
    ) async {
        self.configuration = configuration
        self.files = files
        self.gate = gate
        self.deviceKeys = deviceKeys
        self.tls = tls
        self.core = core
        self.logger = logger
        hangUps = await UnixSignalsSequence(trapping: .sighup)
    }

    func run() async throws {
        var current = files
        for await _ in hangUps.cancelOnGracefulShutdown() {
            guard configuration.access.hasFiles || !configuration.preSharedKeyFiles.isEmpty || !tls.isEmpty else {
                logger.info("SIGHUP: there are no access files to read again")
                continue
            }
            do throws(ConfigurationRefused) {
                let (former, read) = (
                    current,
                    try AccessFiles(configuration.access, preSharedKeyFiles: configuration.preSharedKeyFiles)
                )
                let certificates = try ListenerCertificates(configuration.listeners)
                await core.perform { [gate] in gate.replace(former, by: read, $0) }
                deviceKeys.replace(read)
                tls.replace(certificates)
                current = read
                var metadata = current.metadata
                if !tls.isEmpty { metadata["certificates"] = "\(tls.count)" }
                for warning in read.warnings + configuration.openSecrets { logger.warning("\(warning)") }
                logger.notice("access files read again", metadata: metadata)
            } catch {
                for problem in error.problems { logger.error("access files stay as they were: \(problem)") }
            }
        }
    }
}

extension AccessFiles {
    fileprivate var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [:]
        if let passwords { metadata["users"] = "\(passwords.count)" }
        if let apiKeys { metadata["api_keys"] = "\(apiKeys.count)" }
        let devices = preSharedKeys.values.reduce(0) { $0 + $1.entries.count }
        if devices > 0 { metadata["devices"] = "\(devices)" }
        return metadata
    }
}
