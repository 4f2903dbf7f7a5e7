import ArgumentParser
import BrokerCore
import Foundation
import MQTTCodec
import RocksDBStorage
import Storage
import Webhooks

/// `sluice store sessions`: lists sessions.
struct StoreSessionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions",
        abstract: "List the sessions that are stored.",
        discussion: """
            One line a session: messages and bytes that wait for it, subscriptions, when it ends, user name, Client \
            Identifier; those of webhooks are marked. Leaves the store as it is.
            """
    )

    @OptionGroup var location: StoreLocation

    @Flag(help: "Only those for which nothing waits.")
    var idle = false

    @Flag(help: "One JSON object a line, with Client Identifiers as they are.")
    var json = false

    func run() throws {
        let store = try RocksDBStore(reading: try location.directory())
        defer { store.close() }
        let found = try StoreInspection(of: store, everything: false)
        let sessions = found.allSessions.filter { !idle || $0.messages == 0 }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            for session in sessions {
                print(String(decoding: try encoder.encode(Line(session)), as: UTF8.self))
            }
        } else {
            print("messages   bytes        subscriptions ends                 user name, Client Identifier")
            for session in sessions { print(session.line) }
        }
        if !found.problems.isEmpty {
            let words = "\(found.problems.count) records can't be read; sluice store check names them\n"
            FileHandle.standardError.write(Data(words.utf8))
        }
    }

    private struct Line: Encodable {
        let clientID: String
        /// Left out for a client's.
        let isOwn: Bool?
        let userName: String?
        let endsAt: String?
        let wasConnected: Bool
        let hasWill: Bool
        let subscriptions: Int
        let messages: Int
        let bytes: Int

        enum CodingKeys: String, CodingKey {
            case clientID = "client_id"
            case isOwn = "own"
            case userName = "user_name"
            case endsAt = "ends_at"
            case wasConnected = "was_connected"
            case hasWill = "has_will"
            case subscriptions
            case messages
            case bytes
        }

        init(_ session: StoreInspection.Session) {
            clientID = session.name.string
            isOwn = session.name.isOwn ? true : nil
            userName = session.userName
            endsAt = session.endsAt.map(Self.time)
            wasConnected = session.wasConnected
            hasWill = session.hasWill
            subscriptions = session.subscriptions
            messages = session.messages
            bytes = session.bytes
        }

        /// RFC 3339.
        static func time(_ milliseconds: Int64) -> String {
            Date(timeIntervalSince1970: Double(milliseconds / 1_000)).formatted(.iso8601)
        }
    }
}

extension StoreInspection.Session {
    fileprivate var line: String {
        let ends = endsAt.map { Date(timeIntervalSince1970: Double($0 / 1_000)).formatted(.iso8601) }
        let columns = [
            String(messages).filled(to: 10), String(bytes).filled(to: 12), String(subscriptions).filled(to: 13),
            (ends ?? (wasConnected ? "was connected" : "never")).filled(to: 20),
        ]
        return columns.joined(separator: " ") + " \((userName ?? "").quoted) \(name.forPeople)"
    }
}

/// `sluice store delete-session`: removes sessions.
struct StoreDeleteSessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete-session",
        abstract: "Remove sessions, with their subscriptions and what waits for them.",
        discussion: """
            Frees their names: whoever connects first has the name then. Also sessions whose clients were connected when \
            the broker stopped. Messages that wait for them in shared subscriptions go to other members at the next \
            start. Wills are not published. Ends with exit code 1 if one of them is not there.
            """
    )

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Client Identifiers.", valueName: "client-id"))
    var clientIDs: [String] = []

    @Option(help: "A webhook's name, for its session; may be given several times.")
    var webhook: [String] = []

    @Flag(
        help: "Read the Client Identifiers from standard input, one JSON object a line, as sessions --json writes them."
    )
    var fromJSON = false

    func validate() throws {
        guard (clientIDs + webhook).isEmpty == fromJSON else {
            throw ValidationError("name sessions by their Client Identifiers or webhooks, or use --from-json")
        }
    }

    func run() throws {
        let path = try location.directory()
        let wanted = fromJSON ? try readNames() : clientIDs.map { .client($0) } + webhook.map { .webhook($0) }
        // Not to make one where there is none.
        try RocksDBStore(reading: path).close()
        let store = try RocksDBStore(path: path)
        defer { store.close() }
        let removal = try SessionRemoval(wanted, from: store)
        for name in removal.removed.inOrder { print("\(path): removed \(name.forPeople)") }
        if let refused = removal.leftMessages {
            print("\(path): what waited for them goes at the next start: \(refused.description.forTerminal)")
        }
        let missing = Set(wanted).subtracting(removal.removed)
        guard missing.isEmpty else {
            for name in Array(missing).inOrder { print("\(path): there is no session \(name.forPeople)") }
            throw ExitCode(1)
        }
    }

    private struct Named: Decodable {
        let clientID: String
        let isOwn: Bool?

        enum CodingKeys: String, CodingKey {
            case clientID = "client_id"
            case isOwn = "own"
        }

        var name: SessionName { isOwn ?? false ? .own(clientID) : .client(clientID) }
    }

    private func readNames() throws -> [SessionName] {
        let decoder = JSONDecoder()
        var found: [SessionName] = []
        while let line = readLine() {
            guard !line.isEmpty else { continue }
            found.append(try decoder.decode(Named.self, from: Data(line.utf8)).name)
        }
        return found
    }
}

extension SessionName {
    /// Fit for a terminal; a client can't call itself what a session of the broker's own is called here.
    var forPeople: String { isOwn ? "\(string.quoted) (the broker's own)" : string.quoted }
}

extension [SessionName] {
    fileprivate var inOrder: [SessionName] {
        sorted { $0.string.utf8.lexicographicallyPrecedes($1.string.utf8) }
    }
}
