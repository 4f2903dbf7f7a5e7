import MQTTCodec
import NIOCore

extension Vector {
    /// PINGREQ, PINGRESP, DISCONNECT and AUTH as the standard has it.
    package static let shortPackets: [Vector] = [
        Vector("MQTT 3.1.1 §3.12", .v3_1_1, "c0 00", .packet(.pingreq)),
        Vector("MQTT 5.0 §3.12", "c0 00", .packet(.pingreq)),
        Vector("MQTT 3.1.1 §3.13", .v3_1_1, by: .client, "d0 00", .packet(.pingresp)),
        Vector("MQTT 5.0 §3.13", by: .client, "d0 00", .packet(.pingresp)),
        Vector("MQTT 3.1.1 §3.14", .v3_1_1, "e0 00", .packet(.disconnect(Disconnect()))),
        Vector("MQTT 5.0 §3.14.2.1", "e0 00", .packet(.disconnect(Disconnect()))),
        Vector("MQTT 5.0 §3.14.2.1", "e0 01 00", .decodes(.disconnect(Disconnect()))),
        Vector("MQTT 5.0 §3.14.2.1", "e0 02 00 00", .decodes(.disconnect(Disconnect()))),
        Vector(
            "MQTT 5.0 §3.14.2.1",
            "e0 01 04",
            .packet(.disconnect(Disconnect(reasonCode: .disconnectWithWillMessage)))
        ),
        Vector(
            "MQTT 5.0 §3.14.2.2",
            "e0 * 00 { 11 ffffffff 1f \"r\" 26 \"a\" \"b\" }",
            .packet(
                .disconnect(
                    Disconnect(
                        sessionExpiryInterval: .max,
                        reasonString: "r",
                        userProperties: [UserProperty("a", "b")]
                    )
                )
            )
        ),
        Vector(
            "MQTT 5.0 §3.14.2.2.5",
            by: .client,
            "e0 * 9d { 1c \"b:1883\" }",
            .packet(
                .disconnect(
                    Disconnect(
                        reasonCode: .serverMoved,
                        serverReference: "b:1883"
                    )
                )
            )
        ),
        Vector("MQTT 5.0 §3.15.2.1", "f0 00", .packet(.auth(Auth()))),
        Vector("MQTT 5.0 §3.15.2.1", "f0 02 00 00", .decodes(.auth(Auth()))),
        Vector(
            "MQTT 5.0 §3.15.2.2",
            "f0 * 18 { 15 \"M\" 16 0002 0102 1f \"r\" 26 \"a\" \"b\" }",
            .packet(
                .auth(
                    Auth(
                        reasonCode: .continueAuthentication,
                        authenticationMethod: "M",
                        authenticationData: ByteBuffer(bytes: [1, 2]),
                        reasonString: "r",
                        userProperties: [UserProperty("a", "b")]
                    )
                )
            )
        ),
    ]

    /// PINGREQ, PINGRESP, DISCONNECT and AUTH as the standard forbids it.
    package static let shortErrors: [Vector] = [
        Vector("[MQTT-2.1.3-1]", "c1 00", .error(.malformedPacket)),
        Vector("[MQTT-2.1.3-1]", .v3_1_1, "c8 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.12", "c0 01 00", .error(.malformedPacket)),
        Vector("[MQTT-2.1.3-1]", by: .client, "d2 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.13", by: .client, "d0 01 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.13", "d0 00", .error(.protocolError)),
        Vector("MQTT 5.0 §3.12", by: .client, "c0 00", .error(.protocolError)),
        Vector("[MQTT-3.14.1-1]", "e1 00", .error(.malformedPacket)),
        Vector("[MQTT-3.14.1-1] of 3.1.1", .v3_1_1, "e2 00", .error(.malformedPacket)),
        Vector("MQTT 3.1.1 §3.14", .v3_1_1, "e0 01 00", .error(.malformedPacket)),
        Vector("[MQTT-3.14.2-1]", "e0 01 01", .error(.protocolError)),
        Vector("[MQTT-3.14.2-1]", "e0 01 8e", .error(.protocolError)),
        Vector("[MQTT-3.14.2-2]", by: .client, "e0 * 00 { 11 00000001 }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.14.2.2.5", "e0 * 00 { 1c \"b\" }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.14.2.2", "e0 03 00 00 00", .error(.malformedPacket)),
        Vector("[MQTT-3.15.1-1]", "f1 00", .error(.malformedPacket)),
        Vector("[MQTT-3.15.2-1]", "f0 01 01", .error(.protocolError)),
        Vector("MQTT 3.1.1 §2.2.1", .v3_1_1, "f0 00", .error(.malformedPacket)),
        Vector("[MQTT-2.1.3-1]", "00 00", .error(.malformedPacket)),
        Vector("[MQTT-2.1.3-1]", .v3_1_1, "0f 00", .error(.malformedPacket)),
    ]
}
