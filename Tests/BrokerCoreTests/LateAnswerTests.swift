import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Answers of the store that come when the session they were for has changed, or is over.
@Suite struct LateAnswerTests {
    /// What becomes of the session of the member `a` while the store reads.
    enum Fate: CaseIterable {
        case goesOn, connectionLost, takenOver, expiryZero, cleanStart, expires

        var isEnd: Bool { [.expiryZero, .cleanStart, .expires].contains(self) }
    }

    private let test = TestBroker()

    /// A member `a` of a shared subscription that is away while so many messages wait for it in the store, where there
    /// may be another member by now.
    private func away(messages count: Int, others: String...) throws -> [TestClient] {
        let member = try connected()
        try member.subscribe("$share/g/t", "$share/h/u", qos: .exactlyOnce)
        member.drop()
        let publisher = try test.connect("p")
        for number in 1...count { try publisher.publish("t", "\(number)", qos: .atLeastOnce) }
        return try others.map { name in
            let other = try test.connect(name)
            try other.subscribe("$share/g/t", qos: .exactlyOnce)
            return other
        }
    }

    private func connected(cleanStart: Bool = false) throws -> TestClient {
        try test.connect("a") {
            $0.cleanStart = cleanStart
            $0.properties.sessionExpiryInterval = 60
            $0.properties.receiveMaximum = 1
        }
    }

    /// - Returns: who is connected as `a` then, if it is.
    private func meet(_ fate: Fate, _ client: TestClient) throws -> TestClient? {
        switch fate {
        case .goesOn: return client
        case .connectionLost: client.drop()
        case .takenOver: return try connected()
        case .expiryZero: client.disconnect(sessionExpiryInterval: 0)
        case .cleanStart: return try connected(cleanStart: true)
        case .expires:
            client.drop()
            test.advance(seconds: 60)
        }
        return nil
    }

    private func answer() {
        test.store.answerReading()
        test.flush()
    }

    /// What `a` still gets, on whatever connection.
    private func rest(_ client: TestClient?) throws -> [String] { try (client ?? connected()).texts() }

    @Test(
        "what waits in a share that is left comes to one member, whatever becomes of the session while the store reads",
        arguments: Fate.allCases,
        [1, 3, 400]
    )
    func leaving(_ fate: Fate, _ count: Int) throws {
        let heir = try away(messages: count, others: "b")[0]
        test.store.holdReading()
        let client = try connected()
        try client.unsubscribe("$share/g/t")
        let left = try meet(fate, client)
        answer()
        let passedOn = try heir.texts()
        let kept = try rest(left)
        #expect((kept + passedOn).sorted() == (1...count).map { "\($0)" }.sorted())
        #expect(fate.isEnd ? kept.isEmpty : !kept.isEmpty || !passedOn.isEmpty)
        // Each has its part in order.
        for part in [kept, passedOn].map({ $0.compactMap { Int($0) } }) { #expect(part == part.sorted()) }
        test.storeAll()
        #expect(try test.store.messages == 0)
    }

    @Test("in the same segment as its CONNECT and the end of its session", arguments: [true, false])
    func oneSegment(_ hasHeir: Bool) throws {
        let others = hasHeir ? try away(messages: 3, others: "b") : try away(messages: 3)
        let client = test.open()
        var properties = ConnectProperties()
        properties.sessionExpiryInterval = 60
        var bytes = client.encoded(
            .connect(Connect(cleanStart: false, keepAlive: 0, clientID: "a", properties: properties))
        )
        for packet in [
            Packet.unsubscribe(Unsubscribe(packetID: 1, filters: ["$share/g/t"])),
            .disconnect(Disconnect(reasonCode: .normalDisconnection, sessionExpiryInterval: 0)),
        ] {
            bytes.writeImmutableBuffer(client.encoded(packet))
        }
        client.send(bytes)
        #expect(client.isClosed)
        #expect(try others.flatMap { try $0.texts() } == (hasHeir ? ["1", "2", "3"] : []))
        test.storeAll()
        #expect(try test.store.messages == 0)
        #expect(try test.store.sessions == [])
    }

    @Test("of a client of a message sink, too", arguments: [true, false])
    func sink(_ unsubscribes: Bool) throws {
        let heir = try away(messages: 3, others: "b")[0]
        test.store.holdReading()
        let client = SinkClient(test)
        client.connect(ConnectRequest(clientID: "a", cleanStart: false, sessionExpiryInterval: 60))
        if unsubscribes { _ = test.broker.unsubscribe(["$share/g/t"], on: client.connection) }
        test.broker.disconnect(client.connection, reason: .normalDisconnection, sessionExpiryInterval: 0)
        test.flush()
        answer()
        #expect(client.deliveries().isEmpty)
        #expect(try heir.texts() == ["1", "2", "3"])
    }

    @Test(
        "a share that is left and joined again keeps what waits for it, in order, and loses and doubles nothing",
        arguments: [3, 400]
    )
    func joinsAgain(_ count: Int) throws {
        _ = try away(messages: count)
        test.store.holdReading()
        let client = try connected()
        try client.unsubscribe("$share/g/t")
        try client.subscribe("$share/g/t", qos: .exactlyOnce)
        try client.unsubscribe("$share/g/t")
        try client.subscribe("$share/g/t", qos: .exactlyOnce)
        try test.connect("p").publish("t", "\(count + 1)", qos: .atLeastOnce)
        answer()
        #expect(try client.texts() == (1...count + 1).map { "\($0)" })
        test.storeAll()
        #expect(try test.store.messages == 0)
    }

    @Test("the number of a share that is left is another's meanwhile: its messages go where they belong")
    func numberUsedAgain() throws {
        let heir = try away(messages: 2, others: "b")[0]
        test.store.holdReading()
        let client = try connected()
        try client.unsubscribe("$share/g/t")
        try client.unsubscribe("$share/h/u")
        try client.subscribe("$share/k/v", qos: .exactlyOnce)
        let other = try test.connect("c")
        try other.subscribe("$share/k/v", qos: .exactlyOnce)
        client.disconnect(sessionExpiryInterval: 0)
        answer()
        #expect(try heir.texts() == ["1", "2"])
        #expect(try other.texts().isEmpty)
    }

    @Test("what can't be read when its session ends goes to others as soon as it can", arguments: [1, 400])
    func readFailure(_ count: Int) throws {
        let heir = try away(messages: count, others: "b")[0]
        test.store.failReading(StoreFailure("no"))
        try connected().disconnect(sessionExpiryInterval: 0)
        test.advance(seconds: 2)
        #expect(try heir.texts().isEmpty)
        test.store.failReading(nil)
        test.advance(seconds: 1)
        #expect(try heir.texts() == (1...count).map { "\($0)" })
        test.storeAll()
        #expect(try test.store.messages == 0)
    }

    @Test("a crash before they are read takes no message of a share from its other members", arguments: Fate.allCases)
    func crash(_ fate: Fate) throws {
        _ = try away(messages: 3)
        let heir = try test.connectPersistent("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        let client = try connected()
        #expect(try client.takePublishes().map(\.text) == ["1"])
        test.store.holdReading()
        _ = try meet(fate, client)
        test.storeAll()
        let next = test.crashed()
        next.store.answerReading()
        next.advance(seconds: 0)
        #expect(try next.connectPersistent("b").texts() == (fate.isEnd ? ["1", "2", "3"] : []))
        next.storeAll()
        #expect(try next.store.messages == (fate.isEnd ? 0 : 3))
    }

    @Test("[MQTT-4.8.2-5] a crash gives nobody else what was sent at QoS 2")
    func crashExactlyOnce() throws {
        let client = try connected()
        try client.subscribe("$share/g/t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        for text in ["1", "2"] { try publisher.publish("t", text, qos: .exactlyOnce) }
        #expect(try client.takePublishes().map(\.text) == ["1"])
        client.drop()
        let heir = try test.connectPersistent("b")
        try heir.subscribe("$share/g/t", qos: .exactlyOnce)
        test.storeAll()
        test.store.holdReading()
        test.advance(seconds: 60)
        test.storeAll()
        let next = test.crashed()
        next.store.answerReading()
        next.advance(seconds: 0)
        #expect(try next.connectPersistent("b").texts() == ["2"])
    }

    @Test("a session that was to end with its connection passes on what it had, when the broker ends before it")
    func crashOfTransient() throws {
        _ = try away(messages: 3)
        let heir = try test.connectPersistent("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        _ = try test.connect("a") {
            $0.cleanStart = false
            $0.properties.receiveMaximum = 1
        }
        let next = test.restarted()
        next.advance(seconds: 0)
        #expect(try next.connectPersistent("b").texts() == ["1", "2", "3"])
        #expect(try next.connectPersistent("a").connack?.sessionPresent == false)
    }

    @Test("what was sent before a restart comes before what was queued since, when its session ends")
    func order() throws {
        _ = try away(messages: 2)
        let client = try connected()
        #expect(try client.takePublishes().map(\.text) == ["1"])
        let next = test.restarted()
        next.store.holdReading()
        let again = try next.connectPersistent("a")
        try next.connect("p").publish("t", "3", qos: .atLeastOnce)
        let heir = try next.connect("b")
        try heir.subscribe("$share/g/t", qos: .atLeastOnce)
        again.disconnect(sessionExpiryInterval: 0)
        next.store.answerReading()
        next.flush()
        #expect(try heir.texts() == ["1", "2", "3"])
    }

    @Test("nothing goes past what waits to a client that says how far it has read: it would have read that, too")
    func cursor() throws {
        let request = ConnectRequest(clientID: "s", cleanStart: false, sessionExpiryInterval: 60)
        let client = SinkClient(test, isRead: true)
        client.connect(request)
        client.subscribe("t", qos: .atLeastOnce)
        client.disconnect()
        let publisher = try test.connect("p")
        try publisher.publish("t", "1", qos: .atLeastOnce)
        test.store.holdReading()
        let again = SinkClient(test, isRead: true)
        again.connect(request)
        try publisher.publish("t", "dropped")
        #expect(again.deliveries().isEmpty)
        answer()
        try publisher.publish("t", "2")
        #expect(again.deliveries().map(\.text) == ["1", "2"])
    }

    @Test("a page of the queue that comes after the end of its session is for nobody", arguments: [true, false])
    func page(_ cleanStart: Bool) throws {
        let member = try connected()
        try member.subscribe("own", qos: .exactlyOnce)
        member.drop()
        try test.connect("p").publish("own", "former", qos: .atLeastOnce)
        test.store.holdReading()
        let client = try connected()
        let next = try meet(cleanStart ? .cleanStart : .expiryZero, client)
        answer()
        #expect(try rest(next).isEmpty)
        #expect(try client.texts().isEmpty)
    }
}
