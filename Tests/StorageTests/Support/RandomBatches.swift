import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore

/// Batches such as the core makes: numbers ascend, changes of deliveries speak of messages of earlier batches.
struct RandomBatches {
    private var random: RandomPackets
    private var nextBatch: UInt64 = 1
    private var nextMessage: UInt64 = 1
    private var nextSession: UInt64 = 1
    private let clientIDs = ["a", "b", "ab", "ü", "a/b", ""]

    init(seed: UInt64) { random = RandomPackets(seed: seed, version: .v5) }

    /// True once in `times`.
    mutating func once(in times: Int) -> Bool { random.generator.once(in: times) }

    mutating func next(_ model: StoreModel) -> StoreBatch {
        var batch = StoreBatch(number: nextBatch)
        nextBatch += 1
        let messages = model.messages.keys.sorted()
        var touched = model
        for _ in 0..<random.generator.number(0...12) {
            guard let change = change(touched, messages) else { continue }
            var single = StoreBatch(number: 0)
            single.add(change)
            touched.take(single)
            batch.add(change)
        }
        for _ in 0..<random.generator.number(0...4) {
            let destinations = (0..<random.generator.number(1...4)).map { _ in destination(touched) }
            batch.add(message(), number: MessageNumber(nextMessage), for: destinations)
            nextMessage += UInt64(random.generator.number(1...300))
        }
        return batch
    }

    private mutating func change(_ model: StoreModel, _ messages: [UInt64]) -> StoreChange? {
        switch random.generator.number(0...11) {
        case 0, 1: return .session(session(model))
        case 2: return anySession(model).map { .removeSession($0.name, $0.number) }
        case 3, 4:
            let subscription = SubscriptionRecord(
                filter: random.generator.pick(["a", "a/+", "#", "$share/g/ü", "b/c"]),
                options: SubscriptionOptions(qos: random.generator.pick(QoS.allCases)),
                identifier: random.generator.number(0...300)
            )
            return anySession(model).map { .subscription(subscription, of: $0.number) }
        case 5:
            guard let session = anySession(model) else { return nil }
            let filters = (model.subscriptions[session.number.rawValue] ?? [:]).keys.sorted()
            return filters.first.map { .removeSubscription($0, of: session.number) }
        case 6: return anySession(model).map { .received(random.generator.number(1...9), of: $0.number) }
        case 7: return anySession(model).map { .removeReceived(random.generator.number(1...9), of: $0.number) }
        case 8: return delivery(model, messages)
        case 9:
            guard !messages.isEmpty else { return nil }
            let number = random.generator.pick(messages)
            guard let stored = model.messages[number] else { return nil }
            return .removeMessage(MessageNumber(number), destinations: stored.destinations.count)
        case 10: return .retained(message())
        default:
            let topics = model.retained.keys.sorted()
            return topics.first.flatMap { try? TopicName($0) }.map { .removeRetained($0) }
        }
    }

    private mutating func delivery(_ model: StoreModel, _ messages: [UInt64]) -> StoreChange? {
        guard !messages.isEmpty else { return nil }
        let number = random.generator.pick(messages)
        guard let count = model.messages[number]?.destinations.count else { return nil }
        let state: DeliveryState = random.generator.pick([.queued, .published(7), .released(65_535), .done])
        return .delivery(StoredPlace(number, UInt32(random.generator.number(0...(count - 1)))), state)
    }

    private mutating func anySession(_ model: StoreModel) -> SessionRecord? {
        let sessions = model.sessions.values.sorted { $0.number.rawValue < $1.number.rawValue }
        return sessions.isEmpty ? nil : random.generator.pick(sessions)
    }

    /// A new session, or one there is with another record.
    private mutating func session(_ model: StoreModel) -> SessionRecord {
        let text = random.generator.pick(clientIDs)
        let name: SessionName = random.generator.once(in: 4) ? .own(text) : .client(text)
        let number = model.sessions[name]?.number ?? SessionNumber(rawValue: nextSession)
        nextSession += 1
        let publish = random.publish(.server)
        var properties = publish.properties
        properties.topicAlias = nil
        let will = publish.topic.map { topic in
            Will(topic: topic, payload: ByteBuffer(string: "gone"), qos: publish.qos, properties: properties)
        }
        return SessionRecord(
            name: name,
            number: number,
            userName: random.generator.maybe { _ in "ann" },
            isUserProven: random.generator.once(in: 2),
            expiryInterval: random.generator.number(0...UInt32.max),
            expiresAt: deadline(),
            will: will,
            willDueAt: random.generator.once(in: 2) ? nil : deadline(),
            takenForRead: random.generator.pick([0, 1, .max])
        )
    }

    private mutating func message() -> Message {
        var publish = random.publish(.server)
        while publish.topic == nil { publish = random.publish(.server) }
        let topic = publish.topic?.string ?? ""
        return Message(
            topic: topic.utf8Span.span.bytes,
            payload: publish.payload.readableBytesSpan,
            qos: publish.qos,
            retain: publish.retain,
            properties: .forwarded(from: publish.properties),
            expiresAt: deadline(),
            publisher: PublisherID(rawValue: random.generator.pick([0, 1, .max]))
        )
    }

    /// Of a session there is, or was, or never was.
    private mutating func destination(_ model: StoreModel) -> StoredDestination {
        StoredDestination(
            session: anySession(model)?.number ?? SessionNumber(rawValue: random.generator.number(1...9)),
            sequence: random.generator.number(0...UInt64.max),
            qos: random.generator.pick([.atLeastOnce, .exactlyOnce]),
            retain: random.generator.once(in: 2),
            identifiers: (0..<random.generator.number(0...2)).map { _ in random.generator.number(1...268_435_455) },
            share: random.generator.once(in: 4) ? "$share/g/+" : nil,
            state: random.generator.pick([.queued, .queued, .published(3), .released(4), .done])
        )
    }

    private mutating func deadline() -> NIODeadline {
        random.generator.once(in: 2) ? .distantFuture : after(milliseconds: random.generator.number(-900...99_999))
    }
}
