import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What an MQTT 5.0 client is told beyond a Reason Code, and how far its Maximum Packet Size lets it be told.
@Suite struct ReasonStringTests {
    private let test = TestBroker()

    /// DISCONNECT that answers a malformed packet, and its bytes.
    private func disconnect(maximumPacketSize: UInt32?) throws -> (packet: Disconnect?, bytes: Int) {
        let client = try test.connect("a") { $0.properties.maximumPacketSize = maximumPacketSize }
        client.send(wire("30 * \"a/#\" {}"))
        let bytes = client.unreadBytes
        #expect(client.isClosed)
        return (try client.takeDisconnect(), bytes)
    }

    @Test("MQTT 5.0 §3.14.2.2.3 says in DISCONNECT what the client did wrong")
    func says() throws {
        let (packet, bytes) = try disconnect(maximumPacketSize: nil)
        #expect(packet?.reasonCode == .topicNameInvalid)
        #expect(packet?.reasonString?.isEmpty == false)
        // Just large enough, and one byte less.
        #expect(try disconnect(maximumPacketSize: UInt32(bytes)).packet == packet)
        #expect(try disconnect(maximumPacketSize: UInt32(bytes) - 1).packet?.reasonString == nil)
    }

    @Test("[MQTT-3.14.2-3] leaves the Reason String out of a DISCONNECT that would be too large with it")
    func leavesOut() throws {
        let (packet, bytes) = try disconnect(maximumPacketSize: 20)
        #expect(packet?.reasonCode == .topicNameInvalid)
        #expect(packet?.reasonString == nil)
        #expect(bytes <= 20)
    }

    @Test("[MQTT-3.2.2-19] sends no CONNACK that would be too large with its Reason String")
    func connack() throws {
        let client = test.open()
        var connect = Connect(clientID: "a")
        connect.properties.authenticationMethod = "no such method"
        connect.properties.maximumPacketSize = 20
        client.send(.connect(connect))
        #expect(client.unreadBytes <= 20)
        #expect(try client.packets().map(\.type) == [.connack])
        #expect(client.connack?.reasonCode == .badAuthenticationMethod)
        #expect(client.connack?.properties.reasonString == nil)
    }

    @Test("[MQTT-3.2.2-19] leaves the Reason String out of a CONNACK that is one byte too large with it")
    func justTooLarge() {
        let short = Connack(sessionPresent: false, reasonCode: .malformedPacket)
        var whole = short
        whole.properties.reasonString = "why"
        for (maximum, expected) in [(11, whole), (10, short)] {
            let stream = PacketStream(transport: NoTransport())
            stream.version = .v5
            stream.maximumPacketSize = maximum
            stream.append(.connack(whole), otherwise: .connack(short))
            var encoded = ByteBuffer()
            PacketEncoder.encode(.connack(expected), version: .v5, into: &encoded)
            #expect(stream.output == encoded, "\(maximum)")
        }
    }

    @Test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] discards a SUBACK or UNSUBACK that is larger than the client takes")
    func answerTooLarge() throws {
        let filters = (0..<30).map { "\($0)" }
        let requests: [Packet] = [
            .subscribe(Subscribe(packetID: 1, subscriptions: filters.map { .init(filter: $0) })),
            .unsubscribe(Unsubscribe(packetID: 1, filters: filters)),
        ]
        for request in requests {
            let client = try test.connect("a") { $0.properties.maximumPacketSize = 34 }
            client.send(request)
            #expect(client.unreadBytes == 0)
            #expect(try client.ping())
            let larger = try test.connect("a") { $0.properties.maximumPacketSize = 35 }
            larger.send(request)
            #expect(larger.unreadBytes == 35)
        }
    }
}

private final class NoTransport: PacketStreamTransport {
    func write(_ bytes: ByteBuffer) -> Int { 0 }
    func close() {}
}
