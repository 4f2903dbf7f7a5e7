import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import RocksDBStorage
import Storage
import Testing

@Suite struct DiskFullTests {
    /// Fills the log while no table is written, and fills the disk when the first table is.
    static let disks = [(megabytes: 4, filler: 2_000_000), (megabytes: 60, filler: 38_000_000)]

    @Test(
        "a full disk refuses batches, serves reads, and takes batches again when there is room; nothing is lost",
        .enabled(if: SmallDisk.isPossible, "only root can mount a small file system"),
        arguments: disks
    )
    func diskFull(_ size: (megabytes: Int, filler: Int)) throws {
        let disk = try SmallDisk(megabytes: size.megabytes, filler: size.filler)
        var store = try DurableStore.inline(RocksDBStore(path: disk.path))
        try store.commit(.session(SessionRecord("c", 5)))
        var number: UInt64 = 0
        var failure: StoreFailure?
        var failed = StoreBatch(number: 0)
        while failure == nil, number < 100_000 {
            failed = try batch(number + 1)
            do { try store.commit(failed) } catch { failure = error as? StoreFailure }
            if failure == nil { number += 1 }
        }
        #expect(failure?.description == "no space left on the device: \(disk.path)")
        for _ in 0..<5 { #expect(throws: StoreFailure.self) { try store.commit(failed) } }
        try expectMessages(1...number, in: store)

        disk.makeRoom()
        var attempts = 1
        while attempts < 5, (try? store.commit(failed)) == nil { attempts += 1 }
        #expect(attempts <= 2)
        number += 1
        for next in 1...10 { try store.commit(try batch(number + UInt64(next))) }
        number += 10
        try expectMessages(1...number, in: store)
        store.close()
        store = try DurableStore.inline(RocksDBStore(path: disk.path))
        #expect(try store.recovered().count == Int(number) + 1)
        try expectMessages(1...number, in: store)
        store.close()
    }

    @Test(
        "a disk that is full at the start is said in words, and nothing is left that a later start trips over",
        .enabled(if: SmallDisk.isPossible, "only root can mount a small file system")
    )
    func fullAtStart() throws {
        let disk = try SmallDisk(megabytes: 1, filler: 1_044_480)
        #expect(throws: StoreRefused("\(disk.path): no space left on the device; make room and start again")) {
            try RocksDBStore(path: disk.path)
        }
        disk.makeRoom()
        let store = try DurableStore.inline(RocksDBStore(path: disk.path))
        #expect(try store.recovered().isEmpty)
        store.close()
    }

    private func batch(_ number: UInt64) throws -> StoreBatch {
        var batch = StoreBatch(number: number)
        let payload = String(repeating: "x", count: 40_000)
        batch.add(try Message("t/\(number)", payload), number: MessageNumber(number), for: [StoredDestination(5)])
        return batch
    }

    private func expectMessages(_ numbers: ClosedRange<UInt64>, in store: DurableStore) throws {
        for number in numbers {
            let loaded = try store.load(StoredPlace(number))
            #expect(loaded.first??.message.topic.string == "t/\(number)")
            #expect(loaded.first??.message.payloadLength == 40_000)
        }
    }
}
