import Foundation
import RocksDBStorage
import Storage
import Testing

/// `sluice store`, on a directory that the test itself has filled.
@Suite(.timeLimit(.minutes(1)))
struct StoreCommandTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
    private var path: String { folder.path() + "/data" }

    private func sluice(
        _ arguments: [String],
        reading output: ClientProcess.Output = .standardOutput
    ) async throws -> (lines: [String], status: Int32) {
        let process = try ClientProcess(SluiceProcess.executable, arguments, reading: output)
        return (await process.remainingLines(), try await process.exitStatus())
    }

    /// A store with a session and what is written besides, all as docs/STORAGE.md says.
    private func filled(_ more: (KeyValueBatch) -> Void = { _ in }) throws {
        let store = try RocksDBStore(path: path)
        let batch = KeyValueBatch()
        batch.put(Array("!".utf8), [1] + Array("Sluice".utf8))
        let never = [UInt8](repeating: 0xff, count: 8)
        batch.put(Array("slamp\u{1b}".utf8), [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff] + never)
        more(batch)
        try store.write(batch, synced: true)
        store.close()
    }

    @Test("inspect counts what a configuration's store has") func inspectCountsConfigurationsStore() async throws {
        try filled { batch in
            // A message for the session.
            let number: [UInt8] = [0x6d, 0, 0, 0, 0, 0, 0, 0, 1]
            batch.put(number, [1, 1, 1, 1, 1, 1, 1] + Array("thello".utf8))
        }
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "sluice.yaml").path()
        try "listeners: [{ protocol: mqtt, bind: \"127.0.0.1:0\" }]".write(
            toFile: file,
            atomically: true,
            encoding: .utf8
        )
        let (lines, status) = try await sluice(["store", "inspect", "--config", file])
        #expect(status == 0)
        #expect(lines.first == path)
        #expect(lines.contains("  sessions                    1"))
        #expect(lines.contains("  messages that wait          1, 102 bytes"))
        #expect(lines.last == "  1          102          'lamp\u{FFFD}'")
    }

    @Test("check names what is damaged, ends with 1, and removes it when told to") func checkNamesDamagedEnds()
        async throws
    {
        try filled { $0.put(Array("tbroken".utf8), [1, 0xff]) }
        defer { try? FileManager.default.removeItem(at: folder) }
        var (lines, status) = try await sluice(["store", "check", "--path", path])
        let named = "\(path): retained message broken: unknown flags of a message"
        #expect(lines == [named])
        #expect(status == 1)
        (lines, status) = try await sluice(["store", "check", "--path", path, "--remove-damaged"])
        #expect(lines == [named, "\(path): removed 1 records"])
        #expect(status == 1)
        (lines, status) = try await sluice(["store", "check", "--path", path])
        #expect(lines == ["\(path): good: 1 sessions, 0 messages, 0 retained"])
        #expect(status == 0)
    }

    /// Two sessions, one of them a persistent one with what waits for it, as docs/STORAGE.md says.
    private func filledWithTwo() throws {
        try filled { batch in
            let number = [UInt8](repeating: 0, count: 7)
            // A session of a user, which ends in 2030, with a subscription, a received Packet Identifier and a message.
            let end: [UInt8] = withUnsafeBytes(of: UInt64(1_893_456_000_000).bigEndian) { Array($0) }
            batch.put(Array("smeter".utf8), [1, 1] + number + [2, 0, 0, 14, 16] + end + [3] + Array("ann".utf8))
            batch.put(Array("f".utf8) + number + [2] + Array("a/#".utf8), [1, 1, 0])
            batch.put(Array("r".utf8) + number + [2, 0, 7], [1])
            // For both, and for the second alone.
            batch.put(Array("m".utf8) + number + [1], [1, 1, 2, 1, 1, 1, 1, 2, 1] + [1] + Array("thello".utf8))
            batch.put(Array("m".utf8) + number + [2], [1, 1, 1, 1, 2, 2] + [1] + Array("tworld!".utf8))
        }
    }

    @Test("sessions lists them with what waits, for people and as JSON") func sessionsListsWaitsPeople() async throws {
        try filledWithTwo()
        defer { try? FileManager.default.removeItem(at: folder) }
        var (lines, status) = try await sluice(["store", "sessions", "--path", path])
        #expect(status == 0)
        #expect(
            lines.dropFirst() == [
                "1          102          0             never                '' 'lamp\u{FFFD}'",
                "2          205          1             2030-01-01T00:00:00Z 'ann' 'meter'",
            ]
        )
        (lines, status) = try await sluice(["store", "sessions", "--path", path, "--json"])
        #expect(
            lines.last
                == #"{"bytes":205,"client_id":"meter","ends_at":"2030-01-01T00:00:00Z","has_will":false,"messages":2,"#
                + #""subscriptions":1,"user_name":"ann","was_connected":false}"#
        )
        (lines, status) = try await sluice(["store", "sessions", "--path", path, "--idle", "--json"])
        #expect(lines.isEmpty && status == 0)
    }

    @Test("delete-session removes a session with what belongs to it alone, and the store stays good")
    func deleteSessionRemovesSession() async throws {
        try filledWithTwo()
        defer { try? FileManager.default.removeItem(at: folder) }
        var (lines, status) = try await sluice(["store", "delete-session", "--path", path, "meter", "nobody"])
        #expect(lines == ["\(path): removed 'meter'", "\(path): there is no session 'nobody'"])
        #expect(status == 1)
        (lines, status) = try await sluice(["store", "check", "--path", path])
        #expect(lines == ["\(path): good: 1 sessions, 1 messages, 0 retained"])
        (lines, status) = try await sluice(["store", "inspect", "--path", path])
        #expect(lines.contains("  subscriptions               0"))
        #expect(lines.contains("  Packet Identifiers received 0"))
        #expect(lines.contains("  deliveries of them          1"))
        (lines, status) = try await sluice(["store", "delete-session", "--path", path, "lamp\u{1b}"])
        #expect(status == 0)
        (lines, status) = try await sluice(["store", "check", "--path", path])
        #expect(lines == ["\(path): good: 0 sessions, 0 messages, 0 retained"])
    }

    @Test("all refuse while somebody has the store, and where there is none") func allRefuseWhileSomebody() async throws
    {
        try filled()
        defer { try? FileManager.default.removeItem(at: folder) }
        let held = try RocksDBStore(path: path)
        for command in [
            ["inspect"], ["check"], ["check", "--remove-damaged"], ["sessions"], ["delete-session", "lamp"],
        ] {
            let (lines, status) = try await sluice(["store"] + command + ["--path", path], reading: .standardError)
            #expect(lines == ["Error: \(path): in use by a running Sluice; stop it first"])
            #expect(status == 1)
        }
        held.close()
        let none = folder.path() + "/none"
        let (lines, status) = try await sluice(
            ["store", "check", "--path", none, "--remove-damaged"],
            reading: .standardError
        )
        #expect(lines == ["Error: \(none): No such file or directory"])
        #expect(status == 1)
        #expect(!FileManager.default.fileExists(atPath: none))
    }
}
