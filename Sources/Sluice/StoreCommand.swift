import ArgumentParser
import RocksDBStorage
import Storage

/// `sluice store`: looks at a store while no broker has it.
struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store",
        abstract: "Look at what is stored, and remove sessions, while no broker runs on it.",
        subcommands: [
            StoreInspectCommand.self, StoreCheckCommand.self, StoreSessionsCommand.self, StoreDeleteSessionCommand.self,
        ]
    )
}

/// Which store.
struct StoreLocation: ParsableArguments {
    @Option(name: .shortAndLong, help: "The configuration file (YAML) that names the store.")
    var config: String?

    @Option(name: .shortAndLong, help: "The store's directory; overrides the configuration.")
    var path: String?

    /// The directory.
    ///
    /// - Throws: when nothing is kept in one.
    func directory() throws -> String {
        if let path { return path }
        let storage = try LoadedConfiguration(file: config).configuration.storage
        guard storage.backend == .rocksdb else {
            throw StoreRefused("storage.backend is \(storage.backend.rawValue): there is no directory")
        }
        return storage.path
    }
}

/// `sluice store inspect`: counts and sizes.
struct StoreInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Count what is stored.",
        discussion: "Leaves the store as it is."
    )

    @OptionGroup var location: StoreLocation

    @Option(name: .shortAndLong, help: "How many of the longest queues to list.")
    var queues = 10

    func validate() throws {
        guard queues >= 0 else { throw ValidationError("--queues must not be negative") }
    }

    func run() throws {
        let path = try location.directory()
        let store = try RocksDBStore(reading: path)
        defer { store.close() }
        let found = try StoreInspection(of: store, everything: false)
        print(path)
        for (name, value) in found.counts { print("  \(name.filled(to: 28))\(value)") }
        let longest = found.longestQueues(queues)
        if !longest.isEmpty { print("longest queues: messages, bytes, Client Identifier") }
        for queue in longest {
            print(
                "  \(String(queue.messages).filled(to: 10)) \(String(queue.bytes).filled(to: 12)) \(queue.name.forPeople)"
            )
        }
        if !found.problems.isEmpty {
            print("\(found.problems.count) records can't be read; sluice store check names them")
        }
    }
}

/// `sluice store check`: reads everything and names what is damaged.
struct StoreCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Read everything that is stored, and name what is damaged.",
        discussion:
            "Ends with exit code 1 if anything is damaged, and leaves the store as it is unless it is told to remove."
    )

    /// Damaged records that are named one by one.
    private static let namedProblems = 100

    @OptionGroup var location: StoreLocation

    @Flag(help: "Remove the records that are damaged: what they held is lost, and the broker starts again.")
    var removeDamaged = false

    func run() throws {
        let path = try location.directory()
        let store: RocksDBStore
        if removeDamaged {
            // Not to make one where there is none.
            try RocksDBStore(reading: path).close()
            store = try RocksDBStore(path: path)
        } else {
            store = try RocksDBStore(reading: path)
        }
        defer { store.close() }
        let found = try StoreInspection(of: store, everything: true)
        guard !found.problems.isEmpty else {
            print("\(path): good: \(found.sessions) sessions, \(found.messages) messages, \(found.retained) retained")
            return
        }
        for problem in found.problems.prefix(Self.namedProblems) { print("\(path): \(problem.words.forTerminal)") }
        if found.problems.count > Self.namedProblems {
            print("\(path): and \(found.problems.count - Self.namedProblems) more")
        }
        if removeDamaged { print("\(path): removed \(try found.removeDamaged(from: store)) records") }
        throw ExitCode(1)
    }
}

extension StoreInspection {
    /// The lines of `inspect`.
    fileprivate var counts: [(name: String, value: String)] {
        [
            ("sessions", "\(sessions)"),
            ("subscriptions", "\(subscriptions)"),
            ("Packet Identifiers received", "\(received)"),
            ("retained messages", "\(retained), \(retainedBytes) bytes"),
            ("messages that wait", "\(messages), \(messageBytes) bytes"),
            ("deliveries of them", "\(deliveries)"),
            ("bytes on disk", bytesOnDisk.map(String.init) ?? "unknown"),
        ]
    }
}

extension String {
    /// With spaces behind, for columns.
    func filled(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }

    /// Fit for a terminal: a Client Identifier may contain anything.
    var forTerminal: String {
        String(
            String.UnicodeScalarView(unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 })
        )
    }

    var quoted: String { "'\(forTerminal)'" }
}
