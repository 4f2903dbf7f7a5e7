import BrokerCore
import BrokerTestSupport
import Foundation
import MQTTCodec
import NIOCore
import RocksDBStorage
import Storage
import Testing

/// Damaged bytes: refused with words, or taken for what they say now; never a crash.
@Suite struct DamageTests {
    @Test("any bit of a record may be wrong, and any end of it missing", arguments: try Golden.all())
    func damagedRecord(_ golden: Golden) throws {
        for (key, value) in Self.damaged(golden.key).map({ ($0, golden.value) })
            + Self.damaged(golden.value).map({ (golden.key, $0) })
        {
            let keyValues = try golden.store()
            let batch = KeyValueBatch()
            batch.remove(golden.key)
            batch.put(key, value)
            try keyValues.write(batch, synced: true)
            let store = try DurableStore.inline(keyValues)
            do {
                _ = try store.recovered()
            } catch let refused as StoreRefused {
                #expect(refused.description.contains("damaged") || refused.description.contains("newer Sluice"))
                #expect(refused.description.contains("restore a backup"))
            }
            for number: UInt64 in 9...11 { _ = try store.load(StoredPlace(number), StoredPlace(number, 1)) }
        }
    }

    @Test("random bytes under every kind of key") func randomBytesUnderEvery() throws {
        var random = SplitMix64(seed: 1)
        for _ in 0..<3_000 {
            let keyValues = MemoryKeyValueStore()
            let batch = KeyValueBatch()
            batch.put(Golden.format.key, Golden.format.value)
            batch.put(Golden.session.key, Golden.session.value)
            let kind = random.pick(Array("fmrst".utf8))
            var key = [kind] + random.bytes(count: random.pick([0, 8, 10, 12]))
            if kind != UInt8(ascii: "s"), key.count > 8 { key.replaceSubrange(1..<9, with: [0, 0, 0, 0, 0, 0, 0, 5]) }
            batch.put(key, [1] + random.bytes(count: random.number(0...40)))
            try keyValues.write(batch, synced: true)
            let store = try DurableStore.inline(keyValues)
            _ = try? store.recovered()
            _ = try store.load(StoredPlace(5), StoredPlace(5, 1))
        }
    }

    @Test("a message that can't be read is one that is not there") func messageCantReadOne() throws {
        let golden = try Golden.message()
        let keyValues = try golden.store()
        let batch = KeyValueBatch()
        batch.put(golden.key, Array(golden.value.dropLast(6)))
        try keyValues.write(batch, synced: true)
        #expect(try DurableStore.inline(keyValues).load(StoredPlace(9)).map { $0.map(words) } == [nil])
    }

    @Test("a damaged table of RocksDB") func damagedTableRocksDB() throws {
        let directory = try TemporaryDirectory()
        var store = try DurableStore.inline(RocksDBStore(path: directory.path))
        try store.commit(.session(SessionRecord("c", 5)))
        var random = SplitMix64(seed: 2)
        // More than one buffer, so that a table is written.
        let payload = ByteBuffer(bytes: random.bytes(count: 1_000_000))
        for number: UInt64 in 1...24 {
            var batch = StoreBatch(number: number)
            let message = Message(topic: try TopicName("t"), payload: payload, qos: .atLeastOnce)
            batch.add(message, number: MessageNumber(number), for: [StoredDestination(5)])
            try store.commit(batch)
        }
        store.close()
        // What is in the log alone becomes a table at the next start.
        store = try DurableStore.inline(RocksDBStore(path: directory.path))
        store.close()
        let table = try #require(directory.names.first { $0.hasSuffix(".sst") })
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/\(table)")))
        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: "\(directory.path)/\(table)"))
        store = try DurableStore.inline(RocksDBStore(path: directory.path))
        let refused = #expect(throws: StoreRefused.self) { try store.recovered() }
        #expect(refused?.description.hasPrefix("\(directory.path): damaged (Corruption: block checksum") == true)
        store.close()
    }

    @Test("a log that ends anywhere is read up to its last whole batch", arguments: 0..<24)
    func tornLog(_ cut: Int) throws {
        let directory = try TemporaryDirectory()
        let store = try DurableStore.inline(RocksDBStore(path: directory.path))
        try store.commit(.session(SessionRecord("c", 5)))
        try store.commit(.session(SessionRecord("d", 6)))
        store.close()
        let log = try #require(directory.names.last { $0.hasSuffix(".log") })
        let file = URL(fileURLWithPath: "\(directory.path)/\(log)")
        let bytes = try Data(contentsOf: file)
        try bytes.dropLast(cut).write(to: file)
        let opened = try DurableStore.inline(RocksDBStore(path: directory.path))
        let expected = ["c", "d"].prefix(cut == 0 ? 2 : 1)
        #expect(try opened.recovered().map { $0.split(separator: " ")[1] } == expected.map { Substring($0) })
        opened.close()
    }

    @Test(
        "a log that is damaged before its end is refused, and loses nothing that stands behind",
        arguments: [0.0, 0.3, 0.6]
    )
    func damagedLog(_ part: Double) throws {
        let directory = try TemporaryDirectory()
        let store = try DurableStore.inline(RocksDBStore(path: directory.path))
        for number in 0..<50 { try store.commit(.session(SessionRecord("client \(number)", UInt64(number + 1)))) }
        store.close()
        let log = try #require(directory.names.last { $0.hasSuffix(".log") })
        let file = URL(fileURLWithPath: "\(directory.path)/\(log)")
        var bytes = [UInt8](try Data(contentsOf: file))
        bytes[Int(Double(bytes.count) * part) + 20] ^= 1
        try Data(bytes).write(to: file)
        let refused = #expect(throws: StoreRefused.self) {
            try DurableStore.inline(RocksDBStore(path: directory.path)).recovered()
        }
        #expect(refused?.description.hasPrefix("\(directory.path): damaged (Corruption") == true)
    }

    /// Each bit turned over, and each end cut off.
    private static func damaged(_ bytes: [UInt8]) -> [[UInt8]] {
        var damaged: [[UInt8]] = []
        for place in bytes.indices {
            for bit: UInt8 in 0..<8 {
                var turned = bytes
                turned[place] ^= 1 << bit
                damaged.append(turned)
            }
            damaged.append(Array(bytes[..<place]))
        }
        return damaged
    }
}
