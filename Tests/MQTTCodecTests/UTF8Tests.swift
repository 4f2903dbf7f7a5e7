import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// UTF-8 Encoded Strings (MQTT 5.0 §1.5.4), seen through a Client Identifier, a Topic Name and a property.
@Suite struct UTF8Tests {
    private static let valid: [(statement: String, bytes: String)] = [
        ("RFC 3629 §3, last of one byte", "7f"), ("RFC 3629 §3, two bytes", "c280"), ("RFC 3629 §3, two bytes", "dfbf"),
        ("RFC 3629 §3, three bytes", "e0a080"), ("before the surrogates", "ed9fbf"), ("after the surrogates", "ee8080"),
        ("a noncharacter, which is no error", "efbfbf"), ("RFC 3629 §3, four bytes", "f0908080"),
        ("the last code point", "f48fbfbf"), ("[MQTT-1.5.4-3] U+FEFF", "efbbbf"), ("a control character", "01"),
        ("a combining accent", "65cc81"),
    ]

    private static let invalid: [(statement: String, bytes: String)] = [
        ("[MQTT-1.5.4-1] U+D800", "eda080"), ("[MQTT-1.5.4-1] U+DFFF", "edbfbf"),
        ("[MQTT-1.5.4-1] a pair of surrogates", "eda081edb080"), ("[MQTT-1.5.4-2] U+0000", "00"),
        ("[MQTT-1.5.4-2] U+0000 inside", "610062"), ("overlong U+0000", "c080"), ("overlong slash", "c0af"),
        ("overlong, two bytes", "c1bf"), ("overlong, three bytes", "e09fbf"), ("overlong, four bytes", "f08fbfbf"),
        ("beyond U+10FFFF", "f4908080"), ("beyond U+10FFFF", "f5808080"), ("no lead byte", "80"),
        ("no lead byte", "bf"),
        ("never in UTF-8", "fe"), ("never in UTF-8", "ff"), ("cut off, two bytes", "c3"),
        ("cut off, three bytes", "e282"),
        ("cut off, four bytes", "f09f98"), ("two bytes, no continuation", "c328"),
        ("three bytes, no continuation", "e28228"), ("four bytes, no continuation", "f0908028"),
        ("a lead byte inside", "e2c280"),
    ]

    @Test("takes well-formed UTF-8 and gives it back byte for byte", arguments: valid)
    func wellFormed(_ statement: String, _ words: String) throws {
        let text = wire(words)
        let length = "000" + String(text.readableBytes, radix: 16)
        for version in ProtocolVersion.allCases {
            for packet in Self.packets(length, words, version) {
                let decoded = try decode(packet, version)
                var encoded = ByteBuffer()
                if let decoded { PacketEncoder.encode(decoded, version: version, into: &encoded) }
                #expect(encoded == packet, "\(statement)")
            }
        }
        let isName = TopicName.validate(text.readableBytesSpan)
        #expect(isName)
    }

    @Test("refuses what is not well-formed UTF-8", arguments: invalid)
    func illFormed(_ statement: String, _ words: String) throws {
        let text = wire(words)
        let length = "000" + String(text.readableBytes, radix: 16)
        for version in ProtocolVersion.allCases {
            for packet in Self.packets(length, words, version) {
                #expect(failure(packet, version) == .malformedPacket, "\(statement)")
            }
        }
        let isName = TopicName.validate(text.readableBytesSpan)
        #expect(!isName)
    }

    @Test("[MQTT-1.5.7-1] refuses a String Pair of which either string is not well-formed UTF-8")
    func pairs() {
        for packet in ["30 * \"t\" { 26 \"a\" \"b\" }", "10 * \"MQTT\" 05 02 0000 { 26 \"a\" \"b\" } \"\""] {
            #expect(failure(wire(packet)) == nil)
            #expect(failure(wire(packet.replacing("\"a\"", with: "0001 ff"))) == .malformedPacket)
            #expect(failure(wire(packet.replacing("\"b\"", with: "0001 ff"))) == .malformedPacket)
            #expect(failure(wire(packet.replacing("\"a\"", with: "0001 00"))) == .malformedPacket)
            #expect(failure(wire(packet.replacing("\"b\"", with: "0001 00"))) == .malformedPacket)
        }
    }

    private static func packets(_ length: String, _ bytes: String, _ version: ProtocolVersion) -> [ByteBuffer] {
        guard version == .v5 else {
            return [
                wire("10 * \"MQTT\" 04 02 0000 \(length) \(bytes)"), wire("30 * \(length) \(bytes)"),
                wire("82 * 0001 \(length) \(bytes) 00"), wire("a2 * 0001 \(length) \(bytes)"),
            ]
        }
        return [
            wire("10 * \"MQTT\" 05 02 0000 {} \(length) \(bytes)"),
            wire("30 * \(length) \(bytes) {}"),
            wire("40 * 0001 80 { 1f \(length) \(bytes) }"),
            wire("82 * 0001 { 26 \(length) \(bytes) \(length) \(bytes) } \(length) \(bytes) 00"),
        ]
    }
}
