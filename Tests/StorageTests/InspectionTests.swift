import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import RocksDBStorage
import Storage
import Testing

@Suite struct InspectionTests {
    /// A store with two sessions: three messages wait for one, one of them for the other, too.
    private func filled() throws -> MemoryKeyValueStore {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        let five = SessionNumber(rawValue: 5)
        var batch = StoreBatch(number: 1)
        batch.add(.session(SessionRecord("c5", 5)))
        batch.add(.session(SessionRecord("c6", 6)))
        batch.add(
            .subscription(SubscriptionRecord(filter: "a", options: SubscriptionOptions(), identifier: 0), of: five)
        )
        batch.add(.received(1, of: five))
        batch.add(.retained(try Message("r", "1234")))
        batch.add(try Message("t", "1"), number: MessageNumber(1), for: [StoredDestination(5), StoredDestination(6)])
        batch.add(try Message("t", "22"), number: MessageNumber(2), for: [StoredDestination(5)])
        batch.add(try Message("t", "333"), number: MessageNumber(3), for: [StoredDestination(5), StoredDestination(6)])
        try store.commit(batch)
        try store.commit(.delivery(StoredPlace(3, 1), .done))
        return keyValues
    }

    /// Of a message with a topic of one byte and a payload of so many.
    private func cost(_ payload: Int) -> Int { Message.cost(topic: 1, payload: payload, properties: nil) }

    @Test("counts what is there", arguments: [false, true])
    func counts(_ everything: Bool) throws {
        let found = try StoreInspection(of: try filled(), everything: everything, clock: testClock)
        #expect((found.sessions, found.subscriptions, found.received) == (2, 1, 1))
        #expect((found.retained, found.retainedBytes) == (1, cost(4)))
        #expect((found.messages, found.messageBytes, found.deliveries) == (3, cost(1) + cost(2) + cost(3), 4))
        #expect(found.problems.isEmpty)
        let queues = found.longestQueues(10)
        #expect(queues.map(\.name.string) == ["c5", "c6"])
        #expect(queues.map(\.messages) == [3, 1])
        #expect(queues.map(\.bytes) == [cost(1) + cost(2) + cost(3), cost(1)])
        #expect(found.longestQueues(0).isEmpty)
        #expect(found.longestQueues(1).map(\.name.string) == ["c5"])
    }

    @Test("the broker's own session and a client's of that name are removed apart") func brokersOwnSessionClients()
        throws
    {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        let name = SessionName.own("webhook:orders")
        try store.commit(.session(SessionRecord(name, 5)), .session(SessionRecord(name.string, 6)))
        let five = SessionNumber(rawValue: 5)
        try store.commit(.received(1, of: five), .received(2, of: SessionNumber(rawValue: 6)))
        let removal = try SessionRemoval(
            [.own("webhook:orders"), .client("nobody")],
            from: keyValues,
            clock: testClock
        )
        #expect(removal.removed == [name])
        let left = try StoreInspection(of: keyValues, everything: true, clock: testClock)
        #expect(left.allSessions.map(\.name) == [.client("webhook:orders")])
        #expect(left.received == 1)
        #expect(left.problems.isEmpty)
    }

    @Test("an empty directory is an empty store") func emptyDirectoryEmptyStore() throws {
        let found = try StoreInspection(of: MemoryKeyValueStore(), everything: true)
        #expect(found.sessions == 0)
        #expect(found.problems.isEmpty)
    }

    @Test("everything that is damaged is named, and nothing else is") func everythingDamagedNamedNothing() throws {
        let keyValues = try filled()
        let batch = KeyValueBatch()
        batch.put(wireBytes("'sc5'"), wireBytes("01 80"))
        batch.put(wireBytes("'m' 0000000000000002"), wireBytes("01 21 01 01 05 01 01 't' { 63 01 } '22'"))
        batch.put(wireBytes("'m' 0000000000000009 00000000"), wireBytes("01 03"))
        batch.put(wireBytes("'tr'"), wireBytes("02"))
        batch.put(wireBytes("'zebra'"), wireBytes("01"))
        try keyValues.write(batch, synced: true)
        let found = try StoreInspection(of: keyValues, everything: true, clock: testClock)
        #expect(
            found.problems.map(\.words) == [
                "session c5: unknown flags",
                "retained message r: record version 2, written by a newer Sluice",
                "message 2: properties: unknown property 99",
                "message 9: the state of a delivery that no message has",
                "unknown record with the key 7a65627261: nothing that Sluice writes",
            ]
        )
    }

    @Test("without what is damaged the store can be read; what is newer stays") func withoutDamagedStoreRead() throws {
        let keyValues = try filled()
        let batch = KeyValueBatch()
        batch.put(wireBytes("'sc5'"), wireBytes("01 80"))
        batch.put(wireBytes("'tr'"), wireBytes("02"))
        try keyValues.write(batch, synced: true)
        let found = try StoreInspection(of: keyValues, everything: true, clock: testClock)
        #expect(try found.removeDamaged(from: keyValues) == 1)
        let left = try StoreInspection(of: keyValues, everything: true, clock: testClock)
        #expect(left.problems.count == 1)
        batch.removeAll()
        batch.remove(wireBytes("'tr'"))
        try keyValues.write(batch, synced: true)
        #expect(try DurableStore.inline(keyValues).recovered().map { $0.prefix(9) } == ["session c", "message 1"])
    }

    @Test("somebody else's records and a newer format are refused") func somebodyElsesRecordsNewer() throws {
        let keyValues = MemoryKeyValueStore()
        let batch = KeyValueBatch()
        batch.put(Golden.format.key, wireBytes("07 'Sluice'"))
        try keyValues.write(batch, synced: true)
        let refused = #expect(throws: StoreRefused.self) { try StoreInspection(of: keyValues, everything: false) }
        #expect(refused?.description.contains("written by a newer Sluice (format 7") == true)
    }

    @Test("a directory that is only read stays as it is") func directoryOnlyReadStays() throws {
        let directory = try TemporaryDirectory()
        let store = try DurableStore.inline(RocksDBStore(path: directory.path))
        try store.commit(.session(SessionRecord("c", 5)))
        store.close()
        let before = directory.names.filter { !$0.hasPrefix("LOG") }
        let reading = try RocksDBStore(reading: directory.path)
        #expect(try StoreInspection(of: reading, everything: true).sessions == 1)
        #expect(throws: StoreFailure.self) { try reading.write(KeyValueBatch(), synced: true) }
        reading.close()
        #expect(directory.names.filter { !$0.hasPrefix("LOG") } == before)
        #expect(throws: StoreRefused("\(directory.path)/none: No such file or directory")) {
            try RocksDBStore(reading: directory.path + "/none")
        }
        let empty = try TemporaryDirectory()
        #expect(throws: StoreRefused("\(empty.path): is no store of Sluice")) {
            try RocksDBStore(reading: empty.path)
        }
    }
}
