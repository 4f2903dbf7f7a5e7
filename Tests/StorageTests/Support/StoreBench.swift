import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import Storage

/// A second after the clock began, in the year 2023: all that these tests know of time.
let testClock = ClockReading(now: .uptimeNanoseconds(1_000_000_000), unixMilliseconds: 1_700_000_000_000)

/// So many milliseconds after `testClock`'s moment.
func after(milliseconds: Int64) -> NIODeadline { testClock.now + .milliseconds(milliseconds) }

extension DurableStore {
    /// One that does all its work at once.
    static func inline(_ keyValues: any KeyValueStore, durability: Durability = .strict) throws -> DurableStore {
        try DurableStore(keyValues, durability: durability, clock: { testClock }, executor: InlineExecutor())
    }

    /// Writes a batch.
    func commit(_ batch: StoreBatch) throws {
        let result = NIOLockedValueBox<StoreFailure?>(StoreFailure("not answered"))
        commit(batch) { failure in result.withLockedValue { $0 = failure } }
        if let failure = result.withLockedValue({ $0 }) { throw failure }
    }

    /// Writes some changes.
    func commit(_ changes: StoreChange...) throws {
        var batch = StoreBatch(number: 1)
        for change in changes { batch.add(change) }
        try commit(batch)
    }

    /// Reads messages back.
    func load(_ places: StoredPlace...) throws -> [LoadedMessage?] {
        let result = NIOLockedValueBox<Result<[LoadedMessage?], StoreFailure>>(.failure(StoreFailure("not answered")))
        load(places) { answer in result.withLockedValue { $0 = answer } }
        return try result.withLockedValue { $0 }.get()
    }

    /// Everything there is, in words.
    func recovered() throws -> [String] {
        var found: [String] = []
        try recover(now: testClock.now) { found.append(words($0)) }
        return found
    }
}

extension StoredDestination {
    init(_ session: UInt64, _ sequence: UInt64 = 1, _ state: DeliveryState = .queued) {
        self.init(
            session: SessionNumber(rawValue: session),
            sequence: sequence,
            qos: .atLeastOnce,
            retain: false,
            identifiers: [],
            share: nil,
            state: state
        )
    }
}

extension SessionRecord {
    /// A session without anything special.
    init(_ clientID: String, _ number: UInt64) { self.init(.client(clientID), number) }

    init(_ name: SessionName, _ number: UInt64) {
        self.init(
            name: name,
            number: SessionNumber(rawValue: number),
            userName: nil,
            expiryInterval: .max,
            expiresAt: .distantFuture,
            will: nil,
            willDueAt: nil,
            takenForRead: 0
        )
    }
}

extension Message {
    /// A message without anything special.
    init(_ topic: String, _ payload: String) throws {
        self.init(topic: try TopicName(topic), payload: ByteBuffer(string: payload), qos: .atLeastOnce)
    }
}

extension MessageNumber {
    init(_ number: UInt64) { self.init(rawValue: number) }
}

extension StoredPlace {
    init(_ message: UInt64, _ destination: UInt32 = 0) {
        self.init(message: MessageNumber(message), destination: destination)
    }
}
