import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import Storage
import Testing

@Suite struct DurableStoreTests {
    private let five = SessionNumber(rawValue: 5)
    private let subscription = SubscriptionRecord(filter: "a", options: SubscriptionOptions(), identifier: 0)

    @Test("a session takes its subscriptions and Packet Identifiers along, and nobody else's")
    func sessionTakesSubscriptionsPacket() throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        let six = SessionNumber(rawValue: 6)
        for (clientID, number) in [("c5", five), ("c6", six)] {
            try store.commit(
                .session(SessionRecord(clientID, number.rawValue)),
                .subscription(subscription, of: number),
                .received(1, of: number),
                .received(65_535, of: number)
            )
        }
        try store.commit(.removeSession(.client("c5"), five))
        #expect(keyValues.contents.count == 1 + 4)
        #expect(try store.recovered().allSatisfy { $0.hasPrefix("session c6 6") || $0.contains(" 6 ") })
    }

    @Test("nothing is left of a session that begins and ends in one batch") func nothingLeftSessionBegins() throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        try store.commit(
            .session(SessionRecord("c", 5)),
            .subscription(subscription, of: five),
            .received(1, of: five),
            .removeSession(.client("c"), five)
        )
        #expect(keyValues.contents.map { hex($0.key) } == [hex(Golden.format.key)])
    }

    @Test("a session that begins after another of its client ended in the same batch stays")
    func sessionBeginsAfterAnother() throws {
        let store = try DurableStore.inline(MemoryKeyValueStore())
        try store.commit(.session(SessionRecord("c", 5)), .subscription(subscription, of: five))
        try store.commit(.removeSession(.client("c"), five), .session(SessionRecord("c", 6)))
        #expect(try store.recovered().map { $0.prefix(11) } == ["session c 6"])
    }

    @Test("a message goes with all that was said of its deliveries") func messageGoesAllSaid() throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        var batch = StoreBatch(number: 1)
        batch.add(try Message("t", "m"), number: MessageNumber(1), for: [StoredDestination(5), StoredDestination(6)])
        try store.commit(batch)
        try store.commit(.delivery(StoredPlace(1, 1), .published(1)), .delivery(StoredPlace(1, 0), .done))
        #expect(keyValues.contents.count == 1 + 3)
        try store.commit(.removeMessage(MessageNumber(1), destinations: 2))
        #expect(keyValues.contents.count == 1)
        #expect(try store.load(StoredPlace(1, 1)).map { $0.map(words) } == [nil])
    }

    @Test("a message whose deliveries were all done before it was written is not written")
    func messageDeliveriesAllDone() throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        var batch = StoreBatch(number: 1)
        batch.add(try Message("t", "m"), number: MessageNumber(1), for: [StoredDestination(5, 1, .done)])
        try store.commit(batch)
        #expect(keyValues.writes == 1)
        #expect(keyValues.contents.count == 1)
    }

    @Test("messages are loaded in the order asked for; one that is not there is nil") func messagesLoadedOrderAsked()
        throws
    {
        let store = try DurableStore.inline(MemoryKeyValueStore())
        var batch = StoreBatch(number: 1)
        for number: UInt64 in 1...3 {
            batch.add(try Message("t\(number)", "m"), number: MessageNumber(number), for: [StoredDestination(5)])
        }
        try store.commit(batch)
        let loaded = try store.load(StoredPlace(3), StoredPlace(9), StoredPlace(1), StoredPlace(2, 1), StoredPlace(3))
        #expect(loaded.map { $0?.message.topic.string } == ["t3", nil, "t1", nil, "t3"])
    }

    @Test("expiry is an absolute time: it goes on while the broker is down") func expiryAbsoluteTimeGoes() throws {
        let keyValues = MemoryKeyValueStore()
        let message = Message(
            topic: try TopicName("t"),
            payload: ByteBuffer(),
            qos: .atLeastOnce,
            expiresAt: after(milliseconds: 60_000)
        )
        try DurableStore.inline(keyValues).commit(.retained(message))
        // The machine has been started again since: its clock began anew, 40 seconds later.
        let restarted = ClockReading(
            now: .uptimeNanoseconds(7_000_000_000),
            unixMilliseconds: testClock.unixMilliseconds + 40_000
        )
        let store = try DurableStore(
            keyValues,
            durability: .strict,
            clock: { restarted },
            executor: InlineExecutor()
        )
        var expiresAt: NIODeadline?
        try store.recover(now: restarted.now) { record in
            if case .retained(let message) = record { expiresAt = message.expiresAt }
        }
        #expect(expiresAt == restarted.now + .seconds(20))
    }

    @Test("durability says whether a batch is synced", arguments: Durability.allCases)
    func durability(_ durability: Durability) throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues, durability: durability)
        let before = keyValues.syncedWrites
        try store.commit(.session(SessionRecord("c", 5)))
        #expect(keyValues.syncedWrites - before == (durability == .strict ? 1 : 0))
    }

    @Test("what would only be sent once more is not synced for its own sake") func wouldOnlySentOnce() throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        let before = keyValues.syncedWrites
        try store.commit(.removeMessage(MessageNumber(1), destinations: 1), .delivery(StoredPlace(2), .done))
        #expect(keyValues.syncedWrites == before)
        // The client may use the Packet Identifier again at once.
        try store.commit(.removeMessage(MessageNumber(1), destinations: 1), .removeReceived(1, of: five))
        #expect(keyValues.syncedWrites == before + 1)
    }

    @Test("a failed batch can be written again, and nothing of it was there before") func failedBatchWrittenAgain()
        throws
    {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        keyValues.fail(2)
        for _ in 0..<2 {
            #expect(throws: StoreFailure.self) { try store.commit(.session(SessionRecord("c", 5))) }
            #expect(keyValues.contents.count == 1)
        }
        try store.commit(.session(SessionRecord("c", 5)))
        #expect(keyValues.contents.count == 2)
    }

    @Test("a test decides when a batch is written and when that is told") func testDecidesWhenBatch() throws {
        let keyValues = MemoryKeyValueStore()
        let executor = SteppedExecutor()
        let store = try DurableStore(keyValues, durability: .strict, clock: { testClock }, executor: executor)
        let told = NIOLockedValueBox(0)
        var batch = StoreBatch(number: 1)
        batch.add(.session(SessionRecord("c", 5)))
        store.commit(batch) { _ in told.withLockedValue { $0 += 1 } }
        #expect(keyValues.contents.count == 1)
        #expect(executor.step())
        #expect(keyValues.contents.count == 2)
        #expect(told.withLockedValue { $0 } == 0)
        #expect(executor.step())
        #expect(told.withLockedValue { $0 } == 1)
        #expect(!executor.step())
    }

    @Test("a thread of its own does the jobs in order") func threadOwnDoesJobs() throws {
        let store = try DurableStore(MemoryKeyValueStore(), durability: .strict, executor: StoreThread())
        let order = NIOLockedValueBox<[UInt64]>([])
        for number: UInt64 in 1...100 {
            var batch = StoreBatch(number: number)
            batch.add(try Message("t", "m"), number: MessageNumber(number), for: [StoredDestination(5)])
            store.commit(batch) { _ in order.withLockedValue { $0.append(number) } }
            store.load([StoredPlace(number)]) { loaded in
                if (try? loaded.get().first) ?? nil != nil { order.withLockedValue { $0.append(number + 1_000) } }
            }
        }
        store.close()
        #expect(order.withLockedValue { $0 } == (1...100).flatMap { [$0, $0 + 1_000] })
    }
}
