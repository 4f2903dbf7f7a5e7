import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct RefusedConnectTests {
    @Test("[MQTT-3.1.4-6] serves nothing of a client whose CONNECT it refused", arguments: ProtocolVersion.allCases)
    func nothingAfterRefusal(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.connections = 1 }
        let watcher = try test.connect("w")
        try watcher.subscribe("t")
        let client = test.open(version)
        let publish = client.encoded(.publish(Publish(topic: try TopicName("t"), payload: ByteBuffer(string: "x"))))
        var bytes = client.encoded(.connect(Connect(version: version, clientID: "a")))
        bytes.writeImmutableBuffer(publish)
        bytes.writeImmutableBuffer(client.encoded(.pingreq))
        client.send(bytes)
        client.send(publish)
        #expect(try client.packets().map(\.type) == [.connack])
        #expect(client.connack?.reasonCode.isError == true)
        #expect(client.isClosed)
        #expect(try watcher.messages().isEmpty)
    }

    @Test("[MQTT-3.2.2-6 of 3.1.1] closes without CONNACK when no return code says why")
    func noReturnCode() throws {
        let test = TestBroker {
            $0.maximumQoS = 0
            $0.retainAvailable = false
        }
        for (qos, retain) in [(QoS.atLeastOnce, false), (.atMostOnce, true)] {
            let client = test.open(.v3_1_1)
            let will = Will(topic: try TopicName("w"), payload: ByteBuffer(), qos: qos, retain: retain)
            #expect(try client.connect("a") { $0.will = will } == nil)
            #expect(client.isClosed)
            #expect(client.unreadBytes == 0)
        }
    }

    @Test("MQTT 5.0 §3.1.2.11.4 refuses a client that can't be sent a CONNACK with the server's limits")
    func noRoomForLimits() throws {
        let test = TestBroker()
        let watcher = try test.connect("w")
        try watcher.subscribe("will")
        let client = test.open()
        client.send(
            .connect(
                Connect(clientID: "a") {
                    $0.properties.maximumPacketSize = 10
                    $0.will = try? Will(topic: TopicName("will"), payload: ByteBuffer())
                }
            )
        )
        // [MQTT-3.1.2-24]
        #expect(client.unreadBytes <= 10)
        #expect(try client.packets().map(\.type) == [.connack])
        #expect(client.connack?.reasonCode == .implementationSpecificError)
        #expect(client.isClosed)
        // It never was a client.
        client.drop()
        #expect(try watcher.messages().isEmpty)
        #expect(test.broker.connectedClients == 1)
    }

    @Test("lets in no more clients a second than the limit", arguments: ProtocolVersion.allCases)
    func connectionRate(_ version: ProtocolVersion) throws {
        let test = TestBroker { $0.connectionRate = 3 }
        let limited: ReasonCode = version == .v5 ? .connectionRateExceeded : .serverUnavailable
        for round in 0..<3 {
            for number in 0..<3 { _ = try test.connect("\(round) \(number)", version) }
            let client = test.open(version)
            #expect(try client.connect("late")?.reasonCode == limited)
            #expect(client.isClosed)
            test.advance(seconds: 1)
        }
        // Rest is not saved up beyond a second.
        test.advance(seconds: 100)
        for number in 0..<3 { _ = try test.connect("rested \(number)", version) }
        #expect(try test.open(version).connect("late")?.reasonCode == limited)
        // A third of a second makes room for one.
        test.advance(seconds: 0.34)
        _ = try test.connect("next", version)
        #expect(try test.open(version).connect("late")?.reasonCode == limited)
    }

    @Test("the limit of clients a second is one of MQTT's: requests of gateways are not counted")
    func connectionRateOfGateways() throws {
        let test = TestBroker { $0.connectionRate = 1 }
        _ = try test.connect("a")
        for number in 0..<10 {
            let gateway = SinkClient(test)
            #expect(gateway.connect(ConnectRequest(clientID: "g\(number)")).reasonCode == .success)
        }
    }
}

extension Connect {
    fileprivate init(clientID: String, _ configure: (inout Connect) -> Void) {
        self.init(clientID: clientID)
        configure(&self)
    }
}
