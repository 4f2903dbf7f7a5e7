import BrokerCore
import BrokerTestSupport
import MQTTCodec
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
}
