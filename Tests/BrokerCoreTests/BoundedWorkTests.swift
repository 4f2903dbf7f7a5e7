import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What one packet brings about is bounded, or is done in slices with other clients served between.
@Suite struct BoundedWorkTests {
    private func subscribe(_ filters: [String], _ options: SubscriptionOptions = SubscriptionOptions()) -> Packet {
        .subscribe(
            Subscribe(packetID: 1, subscriptions: filters.map { Subscribe.Subscription(filter: $0, options: options) })
        )
    }

    private func suback(_ client: TestClient) throws -> [ReasonCode]? {
        try client.take { if case .suback(let suback) = $0 { suback.reasonCodes } else { nil } }
    }

    // MARK: Filters of one packet

    @Test("takes as many Topic Filters in one packet as it grants, and no more", arguments: ProtocolVersion.allCases)
    func filtersPerPacket(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.filtersPerPacket = 3 }
        let client = try test.connect("a", version)
        client.send(subscribe(["a", "b", "c"]))
        #expect(try suback(client)?.count == 3)
        client.send(subscribe(["a", "b", "c", "a"]))
        if version == .v5 {
            #expect(try client.wasEnded(.quotaExceeded))
        } else {
            #expect(client.isClosed)
        }
        let other = try test.connect("b", version)
        other.send(.unsubscribe(Unsubscribe(packetID: 1, filters: ["a", "b", "c", "d"])))
        #expect(other.isClosed)
    }

    @Test("a filter that is named many times has a Reason Code each time, and its retained messages once")
    func sameFilter() throws {
        let test = TestBroker()
        let publisher = try test.connect("p")
        for number in 0..<3 { try publisher.publish("t/\(number)", "x", retain: true) }
        let client = try test.connect("a")
        client.send(subscribe(Array(repeating: "#", count: 1_000)))
        let packets = try client.packets()
        let codes = packets.compactMap { if case .suback(let suback) = $0 { suback.reasonCodes } else { nil } }
        #expect(codes == [Array(repeating: .success, count: 1_000)])
        #expect(packets.count { if case .publish = $0 { true } else { false } } == 3)
    }

    @Test("a SUBSCRIBE that takes long is carried out in slices, before what comes behind it")
    func subscribeInSlices() throws {
        let test = TestBroker { $0.filtersPerPacket = 100_000 }
        let client = try test.connect("a")
        let other = try test.connect("b")
        let filters = (0..<1_000).map { "a/+/\($0)" }
        var bytes = client.encoded(subscribe(filters))
        bytes.writeImmutableBuffer(
            client.encoded(.publish(Publish(topic: try TopicName("a/x/999"), payload: ByteBuffer())))
        )
        client.feed(bytes)
        #expect(test.broker.hasBacklog)
        #expect(try other.ping())
        client.drop()
        test.flush()
        #expect(!test.broker.hasBacklog)
        let again = try test.connect("a")
        again.feed(again.encoded(subscribe(filters)))
        again.feed(again.encoded(.publish(Publish(topic: try TopicName("a/x/999"), payload: ByteBuffer()))))
        test.flush()
        let packets = try again.packets()
        #expect(packets.count == 2)
        guard case .suback(let suback) = packets.first else { return #expect(Bool(false), "\(packets)") }
        #expect(suback.reasonCodes == Array(repeating: .success, count: 1_000))
    }

    // MARK: Matching

    @Test("delivers by filters of very many levels as `TopicFilter.matches` has it", arguments: 0..<20 as Range<UInt64>)
    func deepFilters(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let test = TestBroker { $0.subscriptionsPerSession = 10_000 }
        let publisher = try test.connect("p")
        let client = SinkClient(test, capacity: 100_000)
        client.connect(ConnectRequest(clientID: "s"))
        var filters: [TopicFilter] = []
        func level() -> String { generator.pick(["a", "b", "", "$c"]) }
        for _ in 0..<300 {
            var levels = (0..<generator.number(6...20)).map { _ in generator.once(in: 2) ? "+" : level() }
            if generator.once(in: 3) { levels[levels.count - 1] = "#" }
            if generator.once(in: 2) { levels[0] = "a" }
            let filter = try TopicFilter(levels.joined(separator: "/"))
            if filters.contains(filter) { continue }
            filters.append(filter)
            client.subscribe(filter.string)
        }
        for round in 0..<3 {
            for _ in 0..<60 {
                // Most topics are made to match some filter.
                let model = generator.pick(filters.map(\.string)).split(
                    separator: "/",
                    omittingEmptySubsequences: false
                )
                var levels = model.map { $0 == "+" ? level() : String($0) }
                if levels.last == "#" { levels[levels.count - 1] = level() + "/" + level() }
                if generator.once(in: 4) { levels.removeLast() }
                let topic = try TopicName(levels.joined(separator: "/"))
                try publisher.publish(topic.string, "x")
                let expected = filters.contains { $0.matches(topic) } ? 1 : 0
                #expect(client.deliveries().count == expected, "\(topic)")
            }
            guard round < 2 else { return }
            filters.shuffle(using: &generator)
            for _ in 0..<120 {
                let reasons = test.broker.unsubscribe([filters.removeLast().string], on: client.connection)
                #expect(reasons == [.success])
            }
        }
    }

    @Test("filters that fork at each level cost a message next to nothing", .timeLimit(.minutes(1)))
    func forkingFilters() throws {
        var generator = SplitMix64(seed: 1)
        let test = TestBroker { $0.subscriptionsPerSession = 10_000 }
        let client = SinkClient(test)
        client.connect(ConnectRequest(clientID: "s"))
        for _ in 0..<2_000 {
            let levels = (0..<199).map { _ in generator.once(in: 2) ? "+" : "a" } + ["z"]
            client.subscribe(levels.joined(separator: "/"))
        }
        let publisher = try test.connect("p")
        let beginning = String(repeating: "a/", count: 199)
        for number in 0..<300 { try publisher.publish(beginning + "x\(number)", "nobody") }
        #expect(client.deliveries().isEmpty)
        try publisher.publish(beginning + "z", "somebody")
        #expect(client.deliveries().map(\.text) == ["somebody"])
    }

    @Test("remembers routes up to so many bytes, and forgets those that are outdated")
    func routeCache() throws {
        let test = TestBroker()
        for number in 0..<500 {
            let client = SinkClient(test, capacity: 1_000_000)
            client.connect(ConnectRequest(clientID: "s\(number)"))
            client.subscribe("#")
        }
        let publisher = SinkClient(test)
        publisher.connect(ConnectRequest(clientID: "p"))
        for number in 0..<6_000 {
            for _ in 0..<2 { try publisher.publish("t/\(number)", "") }
        }
        #expect(test.broker.rememberedRouteBytes <= 33_554_432)
        #expect(test.broker.rememberedRouteBytes > 16_777_216)
        // What is published now outdates them bit by bit.
        publisher.subscribe("other/+")
        for number in 0..<2_000 { try publisher.publish("once/\(number)", "") }
        #expect(test.broker.rememberedRouteBytes < 1_048_576)
    }

    // MARK: Ends

    @Test("a session that ends with many subscriptions gets nothing more, and others are served before all are gone")
    func manySubscriptions() throws {
        let test = TestBroker { $0.subscriptionsPerSession = 100_000 }
        let leaving = SinkClient(test)
        leaving.connect(ConnectRequest(clientID: "a", sessionExpiryInterval: 0))
        let staying = SinkClient(test, capacity: 10_000)
        staying.connect(ConnectRequest(clientID: "b"))
        for number in 0..<5_000 { leaving.subscribe("$share/\(number)/t", qos: .atLeastOnce) }
        for number in 0..<5_000 { leaving.subscribe("x/\(number)/+", qos: .atLeastOnce) }
        staying.subscribe("$share/0/t", qos: .atLeastOnce)
        staying.subscribe("$share/4999/t", qos: .atLeastOnce)
        test.broker.disconnect(leaving.connection, reason: .normalDisconnection)
        #expect(test.broker.hasBacklog)
        for number in 0..<10 {
            #expect(try staying.publish("t", "\(number)", qos: .atLeastOnce) == .success)
        }
        #expect(staying.deliveries().count == 20)
        #expect(leaving.deliveries().isEmpty)
        test.flush()
        #expect(!test.broker.hasBacklog)
        #expect(try staying.publish("x/1/2", "nobody", qos: .atLeastOnce) == .noMatchingSubscribers)
    }

    @Test("a large message that takes the place of very many small ones does so in slices")
    func overflow() throws {
        let test = TestBroker(queue: {
            $0.messages = 100_000
            $0.bytes = 20_000_000
        })
        let client = try test.connectPersistent("a") { $0.properties.receiveMaximum = 1 }
        try client.subscribe("t", qos: .atLeastOnce)
        client.drop()
        let publisher = SinkClient(test)
        publisher.connect(ConnectRequest(clientID: "p"))
        for _ in 0..<20_000 { try publisher.publish("t", "x", qos: .atLeastOnce) }
        let before = test.broker.pendingMessages(of: .client("a"))
        let large = String(repeating: "y", count: 19_900_000)
        #expect(
            test.broker.publish(
                Message(topic: try TopicName("t"), payload: ByteBuffer(string: large), qos: .atLeastOnce),
                from: publisher.connection
            ) == .success
        )
        #expect(test.broker.hasBacklog)
        #expect(test.broker.pendingMessages(of: .client("a")) > before - 2_000)
        test.flush()
        #expect(test.broker.pendingMessages(of: .client("a")) < before / 10)
        #expect(test.broker.statistics.dropped > UInt64(before) / 2)
    }

    // MARK: Turns

    /// So many PUBLISH packets in one piece.
    private func publishes(_ count: Int, _ client: TestClient) throws -> ByteBuffer {
        let topic = try TopicName("t")
        var bytes = ByteBuffer()
        for number in 0..<count {
            let publish = Publish(topic: topic, payload: ByteBuffer(string: "\(number)"))
            bytes.writeImmutableBuffer(client.encoded(.publish(publish)))
        }
        return bytes
    }

    @Test("very many packets that arrive at once are read in several turns, in order, with others served between")
    func manyPackets() throws {
        let test = TestBroker()
        let subscriber = SinkClient(test, capacity: 1_000_000)
        subscriber.connect(ConnectRequest(clientID: "s"))
        subscriber.subscribe("t")
        let busy = try test.connect("a")
        let other = try test.connect("b")
        busy.feed(try publishes(30_000, busy))
        #expect(test.broker.hasBacklog)
        #expect(try other.ping())
        let got = subscriber.deliveries().count
        #expect(got <= 30_000)
        test.flush()
        // What came before the end of the connection counts, too.
        busy.feed(try publishes(30_000, busy))
        busy.drop()
        test.flush()
        #expect(got + subscriber.deliveries().count == 60_000)
    }

    @Test("while long work goes on, output leaves after each slice for those that got some last, after four for all")
    func outputOfLongWork() throws {
        let test = TestBroker()
        let subscribers = (0..<600).map { _ in SinkClient(test, capacity: 10_000) }
        for (number, subscriber) in subscribers.enumerated() {
            subscriber.connect(ConnectRequest(clientID: "s\(number)"))
            subscriber.subscribe("t")
        }
        let busy = try test.connect("a")
        test.flush()
        busy.feed(try publishes(400, busy))
        test.broker.flush()
        var got = subscribers.map { $0.deliveries().count }
        #expect(got.allSatisfy { $0 > 0 && $0 < 400 })
        var served: [Int] = []
        for _ in 0..<4 {
            test.broker.proceed()
            #expect(test.broker.hasBacklog)
            test.broker.flush()
            let more = subscribers.map { $0.deliveries().count }
            served.append(more.count { $0 > 0 })
            for (place, count) in more.enumerated() { got[place] += count }
        }
        // Of all of them 8 MiB at once, and the rest in slices.
        #expect(served[..<3] == [64, 64, 64] && served[3] > 256)
        test.flush()
        #expect(zip(got, subscribers).allSatisfy { $0 + $1.deliveries().count == 400 })
    }
}
