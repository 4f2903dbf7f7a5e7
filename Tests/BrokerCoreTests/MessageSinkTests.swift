import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Clients whose adapter speaks something other than MQTT.
@Suite struct MessageSinkTests {
    private let test = TestBroker()

    private func connected(
        _ clientID: String = "gateway",
        expiry: UInt32 = 0,
        receiveMaximum: UInt16 = .max,
        capacity: Int = 100
    ) -> SinkClient {
        let client = SinkClient(test, capacity: capacity)
        client.connect(
            ConnectRequest(
                clientID: clientID,
                cleanStart: false,
                sessionExpiryInterval: expiry,
                receiveMaximum: receiveMaximum
            )
        )
        return client
    }

    @Test("hands over messages of MQTT clients, and takes some for them", arguments: QoS.allCases)
    func bothWays(_ qos: QoS) throws {
        let gateway = connected()
        #expect(gateway.subscribe("up", qos: .exactlyOnce) == .grantedQoS2)
        let client = try test.connect("c")
        try client.subscribe("down", qos: .exactlyOnce)
        try client.publish("up", "1", qos: qos) { $0.properties.contentType = "x/y" }
        let delivery = try #require(gateway.deliveries().first)
        #expect(delivery.text == "1")
        #expect(delivery.qos == qos)
        #expect(delivery.message.topic.string == "up")
        #expect(delivery.message.properties?.values.contentType == "x/y")
        #expect((delivery.packetID == nil) == (qos == .atMostOnce))
        #expect(try gateway.publish("down", "2", qos: qos) == .success)
        #expect(try gateway.publish("nowhere", "2", qos: qos) == .noMatchingSubscribers)
        let message = try #require(try client.messages().first)
        #expect(message.text == "2")
        #expect(message.qos == qos)
    }

    @Test("hands a tick's messages over in one batch, in order")
    func order() throws {
        let gateway = connected()
        gateway.subscribe("t", qos: .atLeastOnce)
        let publisher = try test.connect("p")
        for number in 0..<10 { try publisher.publish("t", "\(number)", qos: QoS.allCases[number % 2]) }
        #expect(gateway.deliveries().map(\.text) == (0..<10).map { "\($0)" })
    }

    @Test("hands over no more than it takes unacknowledged")
    func window() throws {
        let gateway = connected(receiveMaximum: 2)
        gateway.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        for number in 0..<5 {
            try publisher.publish("t", "\(number)", qos: number % 2 == 0 ? .atLeastOnce : .exactlyOnce)
        }
        var got: [String] = []
        var open = gateway.deliveries()
        while !open.isEmpty {
            #expect(open.count <= 2)
            let next = open.removeFirst()
            got.append(next.text)
            gateway.acknowledge(next)
            open += gateway.deliveries()
        }
        #expect(got == ["0", "1", "2", "3", "4"])
    }

    @Test("of QoS 0 beyond its capacity as many wait, then the oldest is dropped, counted, and the client told")
    func capacity() throws {
        let gateway = connected(capacity: 3)
        gateway.subscribe("t")
        let publisher = try test.connect("p")
        for number in 0..<5 { try publisher.publish("t", "\(number)") }
        #expect(gateway.deliveries().map(\.text) == ["0", "1", "2"])
        #expect(test.broker.statistics.dropped == 0)
        for number in 5..<9 { try publisher.publish("t", "\(number)") }
        #expect(test.broker.statistics.dropped == 3)
        gateway.consumed(2)
        let next = gateway.deliveries()
        #expect(next.map(\.text) == ["6", "7"])
        #expect(next.map(\.lost) == [3, 0])
        gateway.consumed(3)
        #expect(gateway.deliveries().map(\.text) == ["8"])
    }

    @Test("a session goes on over connections, and what was not acknowledged comes again with DUP")
    func resumes() throws {
        let first = connected(expiry: 100)
        first.subscribe("t", qos: .atLeastOnce)
        let publisher = try test.connect("p")
        for number in 0..<3 { try publisher.publish("t", "\(number)", qos: .atLeastOnce) }
        let got = first.deliveries()
        first.acknowledge(got[1])
        first.disconnect(.unspecifiedError)
        try publisher.publish("t", "3", qos: .atLeastOnce)
        let again = connected(expiry: 100)
        let more = again.deliveries()
        #expect(more.map(\.text) == ["0", "2", "3"])
        #expect(more.map(\.dup) == [true, true, false])
        #expect(more.prefix(2).map(\.packetID) == [got[0].packetID, got[2].packetID])
    }

    @Test("a QoS 2 message released on an MQTT connection is done when a gateway takes the session over")
    func releasedElsewhere() throws {
        let client = try test.connectPersistent("c")
        try client.subscribe("t", qos: .exactlyOnce)
        let publisher = try test.connect("p")
        try publisher.publish("t", "1", qos: .exactlyOnce)
        try publisher.publish("t", "2", qos: .exactlyOnce)
        let id = try #require(try client.takePublish()?.packetID)
        client.send(.pubrec(Acknowledgement(packetID: id)))
        client.drop()
        let gateway = connected("c", expiry: 100, receiveMaximum: 1)
        let open = gateway.deliveries()
        #expect(open.map(\.text) == ["2"])
        gateway.acknowledge(open[0])
        try publisher.publish("t", "3", qos: .exactlyOnce)
        #expect(gateway.deliveries().map(\.text) == ["3"])
    }

    @Test("MQTT takes up what a gateway was handed and did not acknowledge", arguments: ProtocolVersion.allCases)
    func toMQTT(_ version: ProtocolVersion) throws {
        let gateway = connected("c", expiry: 100)
        gateway.subscribe("t", qos: .exactlyOnce)
        try test.connect("p").publish("t", "1", qos: .exactlyOnce)
        #expect(gateway.deliveries().count == 1)
        gateway.disconnect(.unspecifiedError)
        let messages = try test.connectPersistent("c", version).messages()
        #expect(messages.map(\.text) == ["1"])
        #expect(messages.map(\.dup) == [true])
    }

    @Test("is told why the broker ends the connection, once")
    func closed() throws {
        let gateway = connected()
        test.broker.shutdown()
        test.broker.shutdown()
        test.flush()
        #expect(gateway.closed == [.serverShuttingDown])
    }

    @Test("reads retained messages one topic at a time")
    func retained() throws {
        let gateway = connected()
        try test.connect("p").publish("t", "kept", retain: true) { $0.properties.messageExpiryInterval = 10 }
        let topic = try TopicName("t")
        let message = try test.broker.retainedMessage(of: topic, for: gateway.connection).get()
        #expect(message.map { String(buffer: $0.payload) } == "kept")
        test.advance(seconds: 10)
        #expect(try test.broker.retainedMessage(of: topic, for: gateway.connection).get() == nil)
        let stranger = SinkClient(test)
        let refused = #expect(throws: RequestRefused.self) {
            _ = try test.broker.retainedMessage(of: topic, for: stranger.connection).get()
        }
        #expect(refused?.reasonCode == .notAuthorized)
    }

    @Test("asks nothing of the core without a session")
    func strangers() throws {
        let stranger = SinkClient(test)
        #expect(stranger.subscribe("t") == .notAuthorized)
        #expect(try stranger.publish("t", "x") == .notAuthorized)
        #expect(test.broker.unsubscribe(["t"], on: stranger.connection) == [.notAuthorized])
        stranger.disconnect()
        stranger.consumed(1)
    }

    @Test("checks Keep Alive and is kept alive by what is heard")
    func keepAlive() throws {
        let client = SinkClient(test)
        client.connect(ConnectRequest(clientID: "a", keepAlive: 10))
        test.advance(seconds: 10)
        test.broker.heard(from: client.connection)
        test.advance(seconds: 10)
        #expect(client.closed.isEmpty)
        test.advance(seconds: 5)
        #expect(client.closed == [.keepAliveTimeout])
    }

    @Test("an adapter that keeps more for its client may be sent more than others unacknowledged")
    func inflightMessages() throws {
        let test = TestBroker { $0.inflightMessages = 2 }
        for (inflight, expected) in [(nil, 2), (5, 5)] as [(Int?, Int)] {
            let client = SinkClient(test, inflightMessages: inflight)
            client.connect(ConnectRequest(clientID: "\(expected)", receiveMaximum: 100))
            client.subscribe("t", qos: .atLeastOnce)
            for number in 0..<10 { try client.publish("t", "\(number)", qos: .atLeastOnce) }
            #expect(client.deliveries().count == expected)
            test.broker.disconnect(client.connection, reason: .normalDisconnection)
        }
    }
}
