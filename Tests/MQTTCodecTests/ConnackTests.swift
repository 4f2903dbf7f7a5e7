import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct ConnackTests {
    @Test("reads and writes CONNACK as the standard has it", arguments: Vector.connackPackets)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses a CONNACK the standard forbids", arguments: Vector.connackErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }

    @Test(
        "tells a 3.1.1 client the return code that says what the Reason Code says",
        arguments: [
            (ReasonCode.success, 0), (.unsupportedProtocolVersion, 1), (.clientIdentifierNotValid, 2),
            (.serverUnavailable, 3), (.serverBusy, 3), (.badUserNameOrPassword, 4), (.notAuthorized, 5), (.banned, 5),
        ] as [(ReasonCode, UInt8)]
    )
    func returnCodes(_ reason: ReasonCode, _ code: UInt8) {
        var bytes = ByteBuffer()
        PacketEncoder.encode(
            .connack(Connack(sessionPresent: false, reasonCode: reason)),
            version: .v3_1_1,
            into: &bytes
        )
        #expect(Array(bytes.readableBytesView) == [0x20, 2, 0, code])
    }
}
