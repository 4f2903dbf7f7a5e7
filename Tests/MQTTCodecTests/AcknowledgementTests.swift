import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct AcknowledgementTests {
    @Test("[MQTT-2.2.1-5] reads and writes acknowledgements in both versions", arguments: Vector.acknowledgements)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses acknowledgements the standard forbids", arguments: Vector.acknowledgementErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }

    @Test(
        "what a broker acts on of an acknowledgement is the same when it is read without the rest",
        arguments: Vector.acknowledgements + Vector.acknowledgementErrors
    )
    func readsWithoutTheRest(_ vector: Vector) throws {
        var whole = vector.bytes
        let decoder = PacketDecoder(role: vector.role, version: vector.version)
        // What the fixed header forbids is found before.
        guard
            let header = try? FixedHeader.parse(
                whole.readableBytesSpan,
                maximumPacketSize: .max,
                version: vector.version
            )
        else { return }
        // Another packet follows.
        whole.writeBytes([0x40, 0x02, 0x00, 0x07])
        do throws(MalformedPacket) {
            let (packetID, reasonCode) = try decoder.acknowledgement(header, from: &whole)
            let expected = vector.acknowledgement
            #expect(packetID == expected?.packetID && reasonCode == expected?.reasonCode)
            #expect(Array(whole.readableBytesView) == [0x40, 0x02, 0x00, 0x07])
        } catch {
            guard case .error(let reason) = vector.meaning else { throw error }
            #expect(error.reason == reason)
        }
    }
}

extension Vector {
    /// What it means; nil when it is no acknowledgement.
    fileprivate var acknowledgement: Acknowledgement? {
        switch meaning {
        case .packet(let packet), .decodes(let packet):
            switch packet {
            case .puback(let it), .pubrec(let it), .pubrel(let it), .pubcomp(let it): it
            default: nil
            }
        case .error: nil
        }
    }
}
