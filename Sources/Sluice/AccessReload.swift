import Auth
import BrokerCore
import Logging
import ServiceLifecycle
import UnixSignals

/// Reads the access files again at SIGHUP; files that are wrong change nothing.
struct AccessReload: Service {
    private let configuration: AccessConfiguration
    private let files: AccessFiles
    private let gate: AccessGate
    private let core: CoreLoop
    private let hangUps: UnixSignalsSequence
    private let logger: Logger

    /// From now on SIGHUP does not end the process.
    ///
    /// - Parameter files: what the gate has now.
    init(
        _ configuration: AccessConfiguration,
        files: AccessFiles,
        gate: AccessGate,
        core: CoreLoop,
        logger: Logger
    ) async {
        self.configuration = configuration
        self.files = files
        self.gate = gate
        self.core = core
        self.logger = logger
        hangUps = await UnixSignalsSequence(trapping: .sighup)
    }

    func run() async throws {
        var current = files
        for await _ in hangUps.cancelOnGracefulShutdown() {
            guard configuration.hasFiles else {
                logger.info("SIGHUP: there are no access files to read again")
                continue
            }
            do throws(ConfigurationRefused) {
                let (former, read) = (current, try AccessFiles(configuration))
                await core.perform { [gate] in gate.replace(former, by: read, $0) }
                current = read
                logger.notice("access files read again", metadata: current.metadata)
            } catch {
                for problem in error.problems { logger.error("access files stay as they were: \(problem)") }
            }
        }
    }
}

extension AccessFiles {
    fileprivate var metadata: Logger.Metadata { passwords.map { ["users": "\($0.count)"] } ?? [:] }
}
