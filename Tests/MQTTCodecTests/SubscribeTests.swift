import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct SubscribeTests {
    @Test("reads and writes subscribing and its answers as the standard has it", arguments: Vector.subscribingPackets)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses subscribing and answers the standard forbids", arguments: Vector.subscribingErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }

    @Test("[MQTT-3.8.3-5] takes just those Subscription Options that mean something", arguments: UInt8.min...UInt8.max)
    func options(_ byte: UInt8) throws {
        var v5 = wire("82 * 0001 {} \"a\" 00")
        v5.setInteger(byte, at: v5.writerIndex - 1)
        let isValid5 = byte & 0xc0 == 0 && byte & 0x03 != 3 && byte & 0x30 != 0x30
        #expect((failure(v5) == nil) == isValid5)
        if isValid5, let packet = try decode(v5) {
            var encoded = ByteBuffer()
            PacketEncoder.encode(packet, version: .v5, into: &encoded)
            #expect(encoded == v5)
        }
        var v3 = wire("82 * 0001 \"a\" 00")
        v3.setInteger(byte, at: v3.writerIndex - 1)
        #expect((failure(v3, .v3_1_1) == nil) == (byte <= 2))
    }
}
