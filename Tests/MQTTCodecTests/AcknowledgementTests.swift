import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct AcknowledgementTests {
    /// First byte of the packet, and how to make it.
    private static let types: [(byte: String, make: @Sendable (Acknowledgement) -> Packet)] = [
        ("40", { .puback($0) }), ("50", { .pubrec($0) }), ("62", { .pubrel($0) }), ("70", { .pubcomp($0) }),
    ]

    @Test("[MQTT-2.2.1-5] reads and writes acknowledgements in both versions", arguments: types.indices)
    func short(_ place: Int) throws {
        let (byte, make) = Self.types[place]
        let packet = make(Acknowledgement(packetID: 0x1234))
        try Vector("§3.4", .v3_1_1, "\(byte) 02 1234", .packet(packet)).check()
        try Vector("§3.4.2.1", .v5, "\(byte) 02 1234", .packet(packet)).check()
        try Vector("§3.4.2.1", .v5, "\(byte) 03 1234 00", .decodes(packet)).check()
        try Vector("§3.4.2.2.1", .v5, "\(byte) 04 1234 00 00", .decodes(packet)).check()
    }

    @Test("MQTT 5.0 §3.4.2 reads and writes Reason Codes and properties of acknowledgements", arguments: types.indices)
    func long(_ place: Int) throws {
        let (byte, make) = Self.types[place]
        let code: ReasonCode = place < 2 ? .notAuthorized : .packetIdentifierNotFound
        let hex = place < 2 ? "87" : "92"
        try Vector("§3.4.2.1", "\(byte) 03 0001 \(hex)", .packet(make(Acknowledgement(packetID: 1, reasonCode: code))))
            .check()
        let full = Acknowledgement(
            packetID: 1,
            reasonCode: code,
            reasonString: "no",
            userProperties: [UserProperty("a", ""), UserProperty("", "b")]
        )
        let list = "{ 1f \"no\" 26 \"a\" \"\" 26 \"\" \"b\" }"
        try Vector("§3.4.2.2", "\(byte) * 0001 \(hex) \(list)", .packet(make(full))).check()
    }

    @Test("refuses acknowledgements the standard forbids", arguments: types.indices)
    func errors(_ place: Int) throws {
        let byte = Self.types[place].byte
        let wrongFlags = byte == "62" ? "60" : String(byte.dropLast()) + "1"
        for version in ProtocolVersion.allCases {
            let statement = byte == "62" ? "[MQTT-3.6.1-1]" : "[MQTT-2.1.3-1]"
            try Vector(statement, version, "\(wrongFlags) 02 0001", .error(.malformedPacket)).check()
            try Vector("[MQTT-2.2.1-3]", version, "\(byte) 02 0000", .error(.protocolError)).check()
            try Vector("§3.4.2", version, "\(byte) 01 00", .error(.malformedPacket)).check()
            try Vector("§3.4.2", version, "\(byte) 00", .error(.malformedPacket)).check()
        }
        try Vector("§3.4", .v3_1_1, "\(byte) 03 0001 00", .error(.malformedPacket)).check()
        try Vector("§3.4.2.2.1", "\(byte) 05 0001 00 00 00", .error(.malformedPacket)).check()
        try Vector("§3.4.2.2.1", "\(byte) 04 0001 00 01", .error(.malformedPacket)).check()
        try Vector("§3.4.2.2.2", "\(byte) * 0001 00 { 1f \"a\" 1f \"b\" }", .error(.protocolError)).check()
    }
}
