import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Other brokers that connect as mosquitto's bridges do, with the highest bit of the Protocol Level.
@Suite struct BridgeTests {
    private func bridge(_ test: TestBroker) throws -> TestClient {
        try test.connect("bridge", .v3_1_1) { $0.isBridge = true }
    }

    @Test("what a bridge has published does not come back to it, and what is retained is retained there, too")
    func options() throws {
        let test = TestBroker()
        let bridge = try bridge(test)
        try bridge.subscribe("both/#", qos: .atLeastOnce)
        let other = try test.connect("other", .v3_1_1)
        try other.subscribe("both/#", qos: .atLeastOnce)
        try bridge.publish("both/theirs", "1", retain: true)
        try other.publish("both/ours", "2", retain: true)
        try other.publish("both/ours", "3")
        #expect(
            try bridge.messages().map { "\($0.topic?.string ?? "") \(String(buffer: $0.payload)) \($0.retain)" } == [
                "both/ours 2 true", "both/ours 3 false",
            ]
        )
        #expect(try other.messages().map(\.retain) == [false, false, false])
    }

    @Test("[MQTT-3.8.3-4] a bridge's shared subscription has no No Local")
    func shares() throws {
        let bridge = try bridge(TestBroker())
        #expect(try bridge.subscribe("$share/g/a", qos: .atMostOnce) == [.grantedQoS0])
        try bridge.publish("a", "1")
        #expect(try bridge.messages().count == 1)
    }

    @Test("a client of 3.1.1 that is no bridge gets back what it publishes")
    func clients() throws {
        let client = try TestBroker().connect("client", .v3_1_1)
        try client.subscribe("a", qos: .atMostOnce)
        try client.publish("a", "1", retain: true)
        #expect(try client.messages().map(\.retain) == [false])
    }
}
