import BrokerTestSupport
import MQTTCodec
import Testing

@Suite struct AcknowledgementTests {
    @Test("[MQTT-2.2.1-5] reads and writes acknowledgements in both versions", arguments: Vector.acknowledgements)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses acknowledgements the standard forbids", arguments: Vector.acknowledgementErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }
}
