import BrokerCore
import Foundation
import Logging
import Yams

/// A configuration with where it came from.
package struct LoadedConfiguration: Sendable {
    package let configuration: SluiceConfiguration
    /// What the files of its section `access` and of its listeners say.
    package let accessFiles: AccessFiles
    /// The certificates of its listeners.
    let certificates: ListenerCertificates
    /// What the file says, for a look at what has changed in it.
    let keys: ConfigurationKeys
    /// The file; nil when there was none.
    package let file: String?
    /// What is odd and does no harm.
    package let warnings: [String]

    /// Reads a file, and lets the environment override it.
    ///
    /// - Parameters:
    ///   - file: nil is the loopback default.
    ///   - environment: `SLUICE_LIMITS_MAXIMUM_PACKET_SIZE` overrides `limits.maximum_packet_size`, and so on.
    /// - Throws: `ConfigurationRefused` with everything that is wrong.
    package init(
        file: String?,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationRefused) {
        let text: String
        if let file {
            guard let data = FileManager.default.contents(atPath: file) else {
                throw ConfigurationRefused(file, "cannot be read")
            }
            guard let decoded = String(data: data, encoding: .utf8) else {
                throw ConfigurationRefused(file, "is not UTF-8 text")
            }
            text = decoded
        } else {
            text = ""
        }
        try self.init(yaml: text, file: file, environment: environment)
    }

    /// Reads a configuration from its text.
    ///
    /// - Parameter file: where it is from; nil is the loopback default.
    package init(
        yaml: String,
        file: String?,
        environment: [String: String] = [:]
    ) throws(ConfigurationRefused) {
        let name = file ?? "defaults"
        let reading = ConfigurationReading(
            file: name,
            environment: environment.filter { $0.key.hasPrefix("SLUICE_") }
        )
        let root: Node?
        do {
            root = try Yams.compose(yaml: file == nil ? SluiceConfiguration.usual : yaml)
        } catch {
            throw ConfigurationRefused(error, yaml: yaml, file: name)
        }
        keys = ConfigurationKeys(root)
        configuration = SluiceConfiguration(root, reading)
        var problems = reading.problems
        do throws(ConfigurationRefused) {
            accessFiles = try AccessFiles(configuration.access, preSharedKeyFiles: configuration.preSharedKeyFiles)
        } catch {
            problems += error.problems
            accessFiles = AccessFiles()
        }
        do throws(ConfigurationRefused) {
            // What is wrong with them, their reader has found, and has a line for it.
            certificates = problems.isEmpty ? try ListenerCertificates(configuration.listeners) : ListenerCertificates()
        } catch {
            problems += error.problems
            certificates = ListenerCertificates()
        }
        guard problems.isEmpty else { throw ConfigurationRefused(problems: problems) }
        self.file = file
        warnings =
            reading.unusedVariables.map { "\($0) overrides no key of the configuration" }
            + configuration.access.warnings + accessFiles.warnings + configuration.openSecrets
    }
}

extension AccessConfiguration {
    fileprivate var warnings: [String] {
        guard aclFile != nil, !hasCredentials else { return [] }
        return ["access.acl_file: without a password_file, any client without a certificate can take any user's name"]
    }
}

extension ConfigurationRefused {
    fileprivate init(_ file: String, _ words: String) {
        self.init(problems: [ConfigurationProblem(source: file, line: nil, key: "", words: words)])
    }
}
