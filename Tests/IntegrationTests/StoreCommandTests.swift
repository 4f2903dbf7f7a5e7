import Foundation
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

    @Test func `inspect counts what a configuration's store has`() async throws {
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
        #expect(lines.contains("  messages that wait          1, 6 bytes"))
        #expect(lines.last == "  1          6            'lamp\u{FFFD}'")
    }

    @Test func `check names what is damaged, ends with 1, and removes it when told to`() async throws {
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

    @Test func `both refuse while somebody has the store, and where there is none`() async throws {
        try filled()
        defer { try? FileManager.default.removeItem(at: folder) }
        let held = try RocksDBStore(path: path)
        for command in [["inspect"], ["check"], ["check", "--remove-damaged"]] {
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
