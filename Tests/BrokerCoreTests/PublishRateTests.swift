import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct PublishRateTests {
    private let test = TestBroker { $0.publishRate = 5 }
    private let watcher: TestClient

    init() throws {
        watcher = try test.connect("watcher")
        try watcher.subscribe("t")
    }

    @Test(
        "ends the connection of a client that publishes more messages a second than the limit",
        arguments: ProtocolVersion.allCases,
        QoS.allCases
    )
    func limits(_ version: ProtocolVersion, _ qos: QoS) throws {
        let client = try test.connect("a", version)
        for number in 0..<5 { try client.publish("t", "\(number)", qos: qos) }
        #expect(!client.isClosed)
        try client.sendPublish("t", "too many", qos: qos)
        // Not acknowledged: the client has it still, and may send it again.
        #expect(try client.wasEnded(.messageRateTooHigh))
        #expect(try client.packets().isEmpty)
        #expect(try watcher.texts() == ["0", "1", "2", "3", "4"])
    }

    @Test("a QoS 2 message above the limit is a new one when it is sent again", arguments: ProtocolVersion.allCases)
    func sentAgain(_ version: ProtocolVersion) throws {
        let first = try test.connectPersistent("a", version)
        for number in 0..<5 { try first.publish("t", "\(number)", qos: .exactlyOnce) }
        let id = try first.sendPublish("t", "5", qos: .exactlyOnce)
        #expect(first.isClosed)
        test.advance(seconds: 1)
        let again = try test.connectPersistent("a", version)
        try again.sendPublish("t", "5", qos: .exactlyOnce, dup: true, packetID: id)
        #expect(try again.packets().map(\.type) == [.pubrec])
        #expect(try watcher.texts() == ["0", "1", "2", "3", "4", "5"])
    }

    @Test("lets a client go on that keeps to the limit, and saves rest up to a second")
    func keepsTo() throws {
        let client = try test.connect("a")
        for _ in 0..<50 {
            try client.publish("t")
            test.advance(seconds: 0.2)
        }
        test.advance(seconds: 100)
        for _ in 0..<5 { try client.publish("t") }
        #expect(!client.isClosed)
        try client.publish("t")
        #expect(client.isClosed)
    }

    @Test("the limit is each client's own, and refuses gateways one message at a time")
    func each() throws {
        let clients = try (0..<5).map { try test.connect("\($0)") }
        for _ in 0..<5 {
            for client in clients { try client.publish("t") }
        }
        #expect(clients.allSatisfy { !$0.isClosed })
        let gateway = SinkClient(test)
        gateway.connect(ConnectRequest(clientID: "g"))
        for _ in 0..<5 { #expect(try gateway.publish("t", "x") == .success) }
        #expect(try gateway.publish("t", "x") == .messageRateTooHigh)
        test.advance(seconds: 0.2)
        #expect(try gateway.publish("t", "x") == .success)
        #expect(gateway.closed.isEmpty)
    }

    // MARK: Clients that connect anew for each request

    /// Connects, publishes and disconnects.
    private func request(
        _ clientID: String = "",
        as userName: String? = nil,
        from remoteAddress: String = "192.0.2.2:1000"
    ) throws -> ReasonCode {
        let sink = MessageSink(capacity: 0, receive: { _ in }, closed: { _ in })
        let connection = VirtualConnection(
            transportProtocol: .http,
            remoteAddress: remoteAddress,
            outlet: .messages(sink)
        )
        let request = ConnectRequest(clientID: clientID, isTransient: true, userName: userName)
        let connected = test.broker.connect(request, on: connection)
        guard !connected.reasonCode.isError else { return connected.reasonCode }
        defer { test.broker.disconnect(connection, reason: .normalDisconnection) }
        let topic = try TopicName("t")
        return test.broker.publish(Message(topic: topic, payload: ByteBuffer(), qos: .atMostOnce), from: connection)
    }

    @Test("the requests of one user at one address count together, whatever their Client Identifier and port")
    func transient() throws {
        for port in 1...5 { #expect(try request("\(port)", from: "192.0.2.2:\(port)") == .success) }
        #expect(try request("6", from: "192.0.2.2:6") == .messageRateTooHigh)
        for user in ["alice", "bob"] {
            for _ in 0..<5 { #expect(try request(as: user) == .success) }
            #expect(try request(as: user) == .messageRateTooHigh)
        }
        #expect(try request(from: "192.0.2.3:1") == .success)
        #expect(try request(from: "[2001:db8::1]:1") == .success)
        // Connected clients count by themselves.
        #expect(try test.connect("a").publish("t", qos: .atLeastOnce) == .success)
    }

    @Test("requests are let in at the rate in the long run, and more after a rest", arguments: [0.1, 0.35, 0.7, 1.3])
    func transientInTime(_ pause: Double) throws {
        var accepted = 0
        let rounds = Int(20 / pause)
        for _ in 0..<rounds {
            for _ in 0..<10 where try request() == .success { accepted += 1 }
            test.advance(seconds: pause)
        }
        let seconds = Double(rounds) * pause
        let most = pause < 1 ? 5 + 5 * seconds : 5 * Double(rounds)
        #expect((most * 0.9...most).contains(Double(accepted)))
    }
}
