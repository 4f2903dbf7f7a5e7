import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct ConnectTests {
    @Test("reads and writes CONNECT as the standard has it", arguments: Vector.connectPackets)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses a CONNECT the standard forbids", arguments: Vector.connectErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }

    @Test("tells the version before anything else of CONNECT can be wrong")
    func knowsVersionOnError() {
        var decoder = PacketDecoder(role: .server)
        var bytes = wire("10 * \"MQTT\" 05 01 003c {} \"id\"")
        #expect(throws: MalformedPacket.self) { _ = try decoder.decode(from: &bytes) }
        #expect(decoder.version == .v5)
    }
}
