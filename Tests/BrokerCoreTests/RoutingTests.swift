import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

/// The index and its cache against `TopicFilter.matches`, one filter at a time.
@Suite struct RoutingTests {
    private static let levels = ["", "a", "b", "c", "$x", "aa", "caf\u{E9}", "a long level of more than eight bytes"]

    private static func topic(_ generator: inout SplitMix64) -> String {
        let name = (0...generator.number(0...3)).map { _ in generator.pick(levels) }.joined(separator: "/")
        return name.isEmpty ? "a" : name
    }

    private static func filter(_ generator: inout SplitMix64) -> String {
        var parts = (0...generator.number(0...3)).map { _ in
            generator.once(in: 3) ? "+" : generator.pick(levels)
        }
        if generator.once(in: 3) { parts[parts.count - 1] = "#" }
        let filter = parts.joined(separator: "/")
        return filter.isEmpty ? "#" : filter
    }

    @Test(
        "[MQTT-3.3.2-3] delivers a message just to those whose filters match, while they come and go",
        arguments: 0..<40 as Range<UInt64>
    )
    func agreesWithMatches(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let test = TestBroker()
        let publisher = try test.connect("p")
        let clients = try (0..<6).map { try test.connect("c\($0)", generator.pick(ProtocolVersion.allCases)) }
        var filters = clients.map { _ in Set<TopicFilter>() }
        for _ in 0..<60 {
            let who = generator.number(0...(clients.count - 1))
            if generator.once(in: 3), let gone = filters[who].min(by: { $0.string < $1.string }) {
                filters[who].remove(gone)
                try clients[who].unsubscribe(gone.string)
            } else {
                let new = try TopicFilter(Self.filter(&generator))
                filters[who].insert(new)
                try clients[who].subscribe(new.string)
            }
            for _ in 0..<4 {
                let topic = try TopicName(Self.topic(&generator))
                try publisher.publish(topic.string, topic.string)
                for (client, wanted) in zip(clients, filters) {
                    let expected = wanted.contains { $0.matches(topic) } ? [topic.string] : []
                    let messages = try client.messages()
                    #expect(messages.map(\.text) == expected, "\(topic) to \(wanted)")
                    #expect(messages.allSatisfy { $0.topic == topic })
                }
            }
        }
    }

    @Test("finds just the retained messages that match", arguments: 0..<40 as Range<UInt64>)
    func retainedAgreesWithMatches(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let test = TestBroker()
        let publisher = try test.connect("p")
        let subscriber = try test.connect("s")
        var topics: Set<TopicName> = []
        for _ in 0..<80 {
            let topic = try TopicName(Self.topic(&generator))
            let isGone = generator.once(in: 3)
            if isGone { topics.remove(topic) } else { topics.insert(topic) }
            try publisher.publish(topic.string, isGone ? "" : topic.string, retain: true)
            let filter = try TopicFilter(Self.filter(&generator))
            try subscriber.subscribe(filter.string)
            let found = try subscriber.messages().filter(\.retain).compactMap(\.topic)
            #expect(Set(found) == topics.filter { filter.matches($0) }, "\(filter)")
            #expect(found.count == Set(found).count)
            try subscriber.unsubscribe(filter.string)
        }
    }

    @Test("keeps its tables right while thousands of filters come and go", arguments: 0..<3 as Range<UInt64>)
    func churn(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let test = TestBroker { $0.subscriptionsPerSession = 10_000 }
        let client = try test.connect("a")
        let publisher = try test.connect("p")
        var filters: [TopicFilter] = []
        for round in 0..<4 {
            for _ in 0..<500 {
                var name = (0..<generator.number(1...4)).map { _ in "\(generator.number(0...15))" }
                if generator.once(in: 3) { name[generator.number(0...(name.count - 1))] = "+" }
                if generator.once(in: 6) { name.append("#") }
                let filter = try TopicFilter(name.joined(separator: "/"))
                guard !filters.contains(filter) else { continue }
                filters.append(filter)
                try client.subscribe(filter.string)
            }
            filters.shuffle(using: &generator)
            for _ in 0..<(round == 3 ? filters.count : 300) { try client.unsubscribe(filters.removeLast().string) }
            for _ in 0..<100 {
                let name = (0..<generator.number(1...4)).map { _ in "\(generator.number(0...15))" }
                let topic = try TopicName(name.joined(separator: "/"))
                try publisher.publish(topic.string)
                #expect(try client.messages().count == (filters.contains { $0.matches(topic) } ? 1 : 0), "\(topic)")
            }
        }
    }

    @Test("an exact subscription is seen by a topic whose route was remembered")
    func cachedRoute() throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        let client = try test.connect("a")
        for _ in 0..<5 { try publisher.publish("t", "nobody") }
        try client.subscribe("t")
        try publisher.publish("t", "one")
        try client.subscribe("+")
        try publisher.publish("t", "two")
        try client.unsubscribe("t")
        try publisher.publish("t", "three")
        try client.unsubscribe("+")
        try publisher.publish("t", "four")
        #expect(try client.texts() == ["one", "two", "three"])
    }

    @Test("many subscribers of one topic come and go in any order", arguments: 0..<5 as Range<UInt64>)
    func manySubscribers(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let test = TestBroker()
        let clients = try (0..<200).map { try test.connect("c\($0)") }
        for client in clients { try client.subscribe("t", "+/t") }
        var left = Array(clients.indices)
        left.shuffle(using: &generator)
        let publisher = try test.connect("p")
        while let leaving = left.popLast() {
            if generator.once(in: 2) { clients[leaving].drop() } else { try clients[leaving].unsubscribe("t") }
            guard left.count % 20 == 0 else { continue }
            try publisher.publish("t", "x")
            for (place, client) in clients.enumerated() where !client.isClosed {
                #expect(try client.texts().count == (left.contains(place) ? 1 : 0))
            }
        }
    }
}
