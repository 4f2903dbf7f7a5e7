import BrokerCore
import BrokerTestSupport
import Foundation
import NIOCore
import RocksDBStorage
import Storage
import Testing

/// What a directory must not be, said in words that name it and what to do.
@Suite struct RefusalTests {
    private func refusal(_ path: String) -> String? {
        do throws(StoreRefused) {
            _ = try DurableStore(RocksDBStore(path: path), durability: .strict, executor: InlineExecutor())
            return nil
        } catch {
            return error.description
        }
    }

    @Test("the directory is made with all above it, for its owner alone") func directoryMadeAllAbove() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/a/b"
        #expect(refusal(path) == nil)
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o700)
        #expect(refusal(path) == nil)
    }

    @Test("a second broker on the same directory") func secondBrokerSameDirectory() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/data"
        let first = try RocksDBStore(path: path)
        #expect(refusal(path) == "\(path): in use by another Sluice; stop that one, or name another directory")
        first.close()
        #expect(refusal(path) == nil)
    }

    @Test("a directory with somebody's files, which are left as they are") func directorySomebodysFilesLeft() throws {
        let directory = try TemporaryDirectory()
        try directory.write("thesis.txt", "precious")
        #expect(
            refusal(directory.path)
                == "\(directory.path): is no store of Sluice: it has a file thesis.txt; name an empty directory"
        )
        #expect(directory.names == ["thesis.txt"])
    }

    @Test("a file") func file() throws {
        let directory = try TemporaryDirectory()
        try directory.write("data")
        #expect(refusal(directory.path + "/data")?.contains("Not a directory") == true)
        #expect(refusal(directory.path + "/data/below")?.contains("Not a directory") == true)
    }

    @Test("somebody else's RocksDB database") func somebodyElsesRocksDBDatabase() throws {
        let directory = try TemporaryDirectory()
        let other = try RocksDBStore(path: directory.path)
        let batch = KeyValueBatch()
        batch.put(Array("key".utf8), [1])
        try other.write(batch, synced: true)
        other.close()
        #expect(
            refusal(directory.path) == "\(directory.path): holds another program's data; name another directory"
        )
    }

    @Test("a store without its file CURRENT, whose tables are left as they are") func storeWithoutFileCURRENT() throws {
        let directory = try TemporaryDirectory()
        #expect(refusal(directory.path) == nil)
        try FileManager.default.removeItem(atPath: directory.path + "/CURRENT")
        let before = directory.names
        #expect(refusal(directory.path)?.contains("damaged: the file CURRENT is missing; restore a backup") == true)
        #expect(directory.names == before)
    }

    @Test("what a start that was broken off has left behind is no hindrance") func startBrokenOffLeft() throws {
        let directory = try TemporaryDirectory()
        for name in ["LOCK", "LOG", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"] { try directory.write(name) }
        #expect(refusal(directory.path) == nil)
        let empty = try TemporaryDirectory()
        try RocksDBStore(path: empty.path).close()
        #expect(refusal(empty.path) == nil)
    }

    @Test("a damaged manifest") func damagedManifest() throws {
        let directory = try TemporaryDirectory()
        #expect(refusal(directory.path) == nil)
        let manifest = try #require(directory.names.first { $0.hasPrefix("MANIFEST-") })
        try directory.write(manifest, "nonsense that is long enough to be a record, but is none")
        #expect(refusal(directory.path)?.hasPrefix("\(directory.path): damaged (Corruption") == true)
    }

    @Test("a store of a newer format", arguments: Adapter.allCases)
    func newerFormat(_ adapter: Adapter) throws {
        let bed = try adapter.makeBed()
        let keyValues = try bed.open()
        let batch = KeyValueBatch()
        batch.put(Golden.format.key, wireBytes("02 'Sluice'"))
        try keyValues.write(batch, synced: true)
        let words =
            "\(keyValues.name): written by a newer Sluice (format 2, this one reads up to 1); start the newer one, or "
            + "restore a backup"
        #expect(throws: StoreRefused(words)) { try DurableStore.inline(keyValues) }
    }

    @Test("a record of a newer version", arguments: try Golden.all())
    func newerRecord(_ golden: Golden) throws {
        let keyValues = try golden.store()
        let batch = KeyValueBatch()
        batch.put(golden.key, [3] + golden.value.dropFirst())
        try keyValues.write(batch, synced: true)
        let store = try DurableStore.inline(keyValues)
        let refused = #expect(throws: StoreRefused.self) { try store.recovered() }
        #expect(refused?.description.contains("written by a newer Sluice (record version 3") == true)
        #expect(refused?.description.contains("start the newer one, or restore a backup") == true)
    }
}
