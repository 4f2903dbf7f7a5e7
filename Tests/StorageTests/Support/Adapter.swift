import BrokerTestSupport
import Foundation
import RocksDBStorage
import Storage
import Testing

/// The key-value stores there are; each test of what they have in common runs over all.
enum Adapter: String, CaseIterable, Sendable {
    case memory
    case rocksdb

    /// One place to keep things, empty.
    func makeBed() throws -> StoreBed { try StoreBed(self) }
}

/// A place where a store can be opened, closed and opened again.
final class StoreBed {
    private let adapter: Adapter
    private var memory = MemoryKeyValueStore()
    let directory: TemporaryDirectory

    init(_ adapter: Adapter) throws {
        self.adapter = adapter
        directory = try TemporaryDirectory()
    }

    /// What a process finds when it starts.
    func open() throws -> any KeyValueStore {
        switch adapter {
        case .memory:
            memory = memory.afterCrash()
            return memory
        case .rocksdb: return try RocksDBStore(path: directory.path + "/data")
        }
    }
}

/// A directory of a test's own; removed when nobody holds it any more.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "sluice-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String = "") throws {
        try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
    }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? [] }
}
