import Auth
import BrokerCore
import CoreRuntime
import ServiceLifecycle
import UnixSignals

/// Reads the access files and the certificates again at SIGHUP; when one of them is wrong, nothing changes.
struct AccessReload: Service {
    private let loaded: LoadedConfiguration
    private let files: AccessFiles
    private let gate: AccessGate
    private let deviceKeys: DeviceKeys
    private let tls: ListenerTLS
    private let core: CoreLoop
    private let hangUps: UnixSignalsSequence
    private let events: EventLog

    /// From now on SIGHUP does not end the process.
    ///
    /// - Parameter files: what the gate has now.
    init(
        _ loaded: LoadedConfiguration,
        files: AccessFiles,
        gate: AccessGate,
        deviceKeys: DeviceKeys,
        tls: ListenerTLS,
        core: CoreLoop,
        log: BrokerLog
    ) async {
        self.loaded = loaded
        self.files = files
        self.gate = gate
        self.deviceKeys = deviceKeys
        self.tls = tls
        self.core = core
        events = log.events
        hangUps = await UnixSignalsSequence(trapping: .sighup)
    }

    func run() async throws {
        var current = files
        for await _ in hangUps.cancelOnGracefulShutdown() {
            tellWhatNeedsRestart()
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
                for warning in read.warnings + configuration.openSecrets {
                    events.note(.configWarning, [.detail(warning)])
                }
                events.note(.configReloaded, [.detail(summary(of: read))])
            } catch {
                for problem in error.problems { events.note(.configRefused, [.detail("\(problem)")]) }
            }
        }
    }

    private var configuration: SluiceConfiguration { loaded.configuration }

    /// The configuration file itself takes effect at a start only: says what in it is different from what is in use.
    private func tellWhatNeedsRestart() {
        guard let file = loaded.file else { return }
        do throws(ConfigurationRefused) {
            let now = try LoadedConfiguration(file: file)
            guard now.configuration != configuration else { return }
            let keys = loaded.keys.differences(to: now.keys)
            events.note(.configNeedsRestart, [.path(file), .keys(keys.joined(separator: ", "))])
        } catch {
            // What is wrong with access files is told as they are read.
            for problem in error.problems where problem.source == file {
                events.note(
                    .configNeedsRestart,
                    level: .error,
                    [.path(file), .detail("it has changed, and a restart would fail: \(problem)")]
                )
            }
        }
    }

    /// What the files hold now.
    private func summary(of files: AccessFiles) -> String {
        let devices = files.preSharedKeys.values.reduce(0) { $0 + $1.entries.count }
        let parts: [(count: Int?, name: String)] = [
            (files.passwords?.count, "users"), (files.apiKeys?.count, "API keys"),
            (files.accessControl?.count, "access rules"), (files.tokenKeys == nil ? nil : 1, "files of token keys"),
            (devices > 0 ? devices : nil, "device keys"), (tls.isEmpty ? nil : tls.count, "certificates"),
        ]
        guard parts.contains(where: { $0.count != nil }) else { return "there are none" }
        return parts.compactMap { part in part.count.map { "\(part.name): \($0)" } }.joined(separator: ", ")
    }
}
