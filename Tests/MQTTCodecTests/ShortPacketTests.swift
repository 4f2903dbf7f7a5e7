import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// PINGREQ, PINGRESP, DISCONNECT and AUTH.
@Suite struct ShortPacketTests {
    @Test("reads and writes short packets as the standard has it", arguments: Vector.shortPackets)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses short packets the standard forbids", arguments: Vector.shortErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }
}
