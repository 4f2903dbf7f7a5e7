import BrokerCore
import BrokerTestSupport
import CoreRuntime
import MQTTCodec
import NIOCore
import Testing

@Suite struct BufferTests {
    private let text = String(repeating: "x", count: 60_000)

    @Test("what clients don't take is counted, and is nothing once they have taken it or are gone")
    func counted() throws {
        let test = TestBroker()
        let slow = try test.connect("slow")
        try slow.subscribe("t")
        #expect(test.broker.usage.bufferBytes == 0)
        slow.setWritable(false)
        let publisher = try test.connect("p")
        for _ in 0..<10 { try publisher.publish("t", text) }
        #expect(test.broker.usage.bufferBytes > 600_000)
        slow.setWritable(true)
        #expect(test.broker.usage.bufferBytes == 0)
        slow.setWritable(false)
        for _ in 0..<10 { try publisher.publish("t", text) }
        slow.drop()
        #expect(test.broker.usage.bufferBytes == 0)
    }

    @Test("all together keep no more than the limit for clients that take nothing, and others get everything")
    func bounded() throws {
        let test = TestBroker {
            $0.bufferBytes = 4_000_000
            $0.bufferByteShares = Shares(perAddress: 4_000_000)
        }
        let stalled = try (0..<50).map { try test.connect("slow\($0)", from: "198.51.100.\($0)") }
        for client in stalled {
            try client.subscribe("t")
            client.setWritable(false)
        }
        let healthy = try test.connect("healthy")
        try healthy.subscribe("t")
        let publisher = try test.connect("p")
        for _ in 0..<40 {
            try publisher.publish("t", text)
            // Buffers grow by doubling.
            #expect(test.broker.usage.bufferBytes < 8_000_000)
        }
        #expect(try healthy.messages().count == 40)
        #expect(test.broker.statistics.dropped > 1_000)
        for client in stalled { client.drop() }
        #expect(test.broker.usage.bufferBytes == 0)
    }

    @Test("one address has its share of that; clients at others keep theirs")
    func share() throws {
        let test = TestBroker { $0.bufferBytes = 40_000_000 }
        let greedy = try (0..<20).map { try test.connect("g\($0)", from: "198.51.100.1") }
        for client in greedy {
            try client.subscribe("t")
            client.setWritable(false)
        }
        let publisher = try test.connect("p")
        for _ in 0..<60 { try publisher.publish("t", text) }
        #expect(test.broker.statistics.dropped > 200)
        let other = try test.connect("o", from: "198.51.100.2")
        try other.subscribe("t")
        other.setWritable(false)
        for _ in 0..<10 { try publisher.publish("t", text) }
        other.setWritable(true)
        #expect(try other.messages().count == 10)
    }

    @Test("a message for very many leaves before all of it is written")
    func fanOut() throws {
        let test = TestBroker()
        let clients = try (0..<600).map { try test.connect("c\($0)", from: "198.51.100.\($0 % 200)") }
        for client in clients { try client.subscribe("t") }
        let writes = clients.map(\.writes)
        try test.connect("p").publish("t", String(repeating: "x", count: 200_000))
        #expect(try clients.allSatisfy { try $0.messages().count == 1 })
        #expect(zip(clients, writes).allSatisfy { $0.writes == $1 + 1 })
    }

    @Test("a CONNECT that is looked at is counted, and refused when there is no room for it")
    func pending() throws {
        let gate = Waiting()
        let test = TestBroker(authenticator: gate, limits: { $0.bufferBytes = 100_000 })
        var clients: [TestClient] = []
        for number in 0..<10 {
            let client = test.open(from: "198.51.100.\(number)")
            var connect = Connect(clientID: "c\(number)", userName: "u", password: ByteBuffer(string: "secret"))
            connect.will = Will(topic: try TopicName("w"), payload: ByteBuffer(repeating: 1, count: 20_000))
            client.send(.connect(connect))
            clients.append(client)
        }
        #expect(test.broker.usage.bufferBytes > 50_000)
        #expect(test.broker.usage.bufferBytes <= 100_000)
        #expect(clients.contains { $0.isClosed })
        gate.pending.answer(.accepted(userName: "u"))
        test.flush()
        #expect(test.broker.usage.bufferBytes == 0)
    }

    @Test("what a gateway has not passed on yet is counted")
    func sinks() throws {
        let test = TestBroker()
        let client = SinkClient(test)
        client.connect(ConnectRequest(clientID: "s"))
        client.subscribe("t", qos: .atLeastOnce)
        try test.connect("p").publish("t", text, qos: .atLeastOnce)
        #expect(test.broker.usage.bufferBytes > 60_000)
        client.consumed(1)
        #expect(test.broker.usage.bufferBytes == 0)
        try test.connect("p").publish("t", text)
        client.disconnect()
        #expect(test.broker.usage.bufferBytes == 0)
    }
}

/// Takes its time with everybody.
private final class Waiting: Authenticator {
    let pending = PendingAuthentication()

    func authenticate(_ credentials: Credentials) -> Authentication { .pending(pending) }
}
