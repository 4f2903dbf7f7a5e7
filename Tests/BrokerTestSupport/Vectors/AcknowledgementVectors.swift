import MQTTCodec
import NIOCore

extension Vector {
    /// First byte of the packet, and how to make it.
    private static let types: [(byte: String, make: @Sendable (Acknowledgement) -> Packet)] = [
        ("40", { .puback($0) }), ("50", { .pubrec($0) }), ("62", { .pubrel($0) }), ("70", { .pubcomp($0) }),
    ]

    /// PUBACK, PUBREC, PUBREL and PUBCOMP as the standard has them.
    package static let acknowledgements: [Vector] = types.flatMap { byte, make -> [Vector] in
        let packet = make(Acknowledgement(packetID: 0x1234))
        let isAnswer = byte == "40" || byte == "50"
        let code: ReasonCode = isAnswer ? .notAuthorized : .packetIdentifierNotFound
        let hex = isAnswer ? "87" : "92"
        let full = Acknowledgement(
            packetID: 1,
            reasonCode: code,
            reasonString: "no",
            userProperties: [UserProperty("a", ""), UserProperty("", "b")]
        )
        let list = "{ 1f \"no\" 26 \"a\" \"\" 26 \"\" \"b\" }"
        return [
            Vector("§3.4", .v3_1_1, "\(byte) 02 1234", .packet(packet)),
            Vector("§3.4.2.1", .v5, "\(byte) 02 1234", .packet(packet)),
            Vector("§3.4.2.1", .v5, "\(byte) 03 1234 00", .decodes(packet)),
            Vector("§3.4.2.2.1", .v5, "\(byte) 04 1234 00 00", .decodes(packet)),
            Vector("§3.4.2.1", "\(byte) 03 0001 \(hex)", .packet(make(Acknowledgement(packetID: 1, reasonCode: code)))),
            Vector("§3.4.2.2", "\(byte) * 0001 \(hex) \(list)", .packet(make(full))),
        ]
    }

    /// PUBACK, PUBREC, PUBREL and PUBCOMP as the standard forbids them.
    package static let acknowledgementErrors: [Vector] = types.flatMap { byte, _ -> [Vector] in
        let wrongFlags = byte == "62" ? "60" : String(byte.dropLast()) + "1"
        let statement = byte == "62" ? "[MQTT-3.6.1-1]" : "[MQTT-2.1.3-1]"
        let both = ProtocolVersion.allCases.flatMap { version in
            [
                Vector(statement, version, "\(wrongFlags) 02 0001", .error(.malformedPacket)),
                Vector("[MQTT-2.2.1-3]", version, "\(byte) 02 0000", .error(.protocolError)),
                Vector("§3.4.2", version, "\(byte) 01 00", .error(.malformedPacket)),
                Vector("§3.4.2", version, "\(byte) 00", .error(.malformedPacket)),
            ]
        }
        return both + [
            Vector("§3.4", .v3_1_1, "\(byte) 03 0001 00", .error(.malformedPacket)),
            Vector("§3.4.2.2.1", "\(byte) 05 0001 00 00 00", .error(.malformedPacket)),
            Vector("§3.4.2.2.1", "\(byte) 04 0001 00 01", .error(.malformedPacket)),
            Vector("§3.4.2.2.2", "\(byte) * 0001 00 { 1f \"a\" 1f \"b\" }", .error(.protocolError)),
        ]
    }
}
