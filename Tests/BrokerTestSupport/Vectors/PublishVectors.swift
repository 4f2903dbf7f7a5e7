import MQTTCodec
import NIOCore

extension Vector {
    /// PUBLISH as the standard has it.
    package static let publishPackets: [Vector] = [
        Vector("[MQTT-2.3.1-5] of 3.1.1", .v3_1_1, "30 08 0003 'a/b' 'hey'", .packet(.publish(publish("a/b", "hey")))),
        Vector("[MQTT-2.2.1-2]", "30 09 0003 'a/b' 00 'hey'", .packet(.publish(publish("a/b", "hey")))),
        Vector("[MQTT-3.3.1-5]", "31 * \"a\" {}", .packet(.publish(publish("a", "") { $0.retain = true }))),
        Vector("[MQTT-2.2.1-3]", "32 * \"a\" 0001 {} 'x'", .packet(.publish(publish("a", "x", .atLeastOnce, 1)))),
        Vector(
            "[MQTT-2.2.1-3]",
            .v3_1_1,
            "34 * \"a\" ffff 'x'",
            .packet(.publish(publish("a", "x", .exactlyOnce, .max)))
        ),
        Vector(
            "[MQTT-3.3.1-1]",
            "3a * \"a\" 0102 {}",
            .packet(.publish(publish("a", "", .atLeastOnce, 258) { $0.dup = true }))
        ),
        Vector(
            "[MQTT-3.3.1-1]",
            "3d * \"a\" 0102 {}",
            .packet(
                .publish(
                    publish("a", "", .exactlyOnce, 258) {
                        $0.dup = true
                        $0.retain = true
                    }
                )
            )
        ),
        Vector(
            "MQTT 5.0 §3.3.2.3.4",
            "30 * \"\" { 23 0001 } 'x'",
            .packet(.publish(publish(nil, "x") { $0.properties.topicAlias = 1 }))
        ),
        Vector(
            "MQTT 5.0 §3.3.2.3.4",
            "30 * \"t\" { 23 ffff }",
            .packet(.publish(publish("t", "") { $0.properties.topicAlias = .max }))
        ),
        Vector(
            "MQTT 5.0 §3.3.2.3",
            "30 * \"t\" { 01 00 02 ffffffff 08 \"r/1\" 09 0000 03 \"x\" 26 \"b\" \"1\" 26 \"a\" \"2\" 26 \"b\" \"1\" }",
            .packet(.publish(publish("t", "") { $0.properties = everything }))
        ),
        Vector(
            "MQTT 5.0 §3.3.2.3.8",
            by: .client,
            "30 * \"t\" { 0b 01 0b ffffff7f 0b 01 } 'x'",
            .packet(.publish(publish("t", "x") { $0.properties.subscriptionIdentifiers = [1, 268_435_455, 1] }))
        ),
        Vector("MQTT 5.0 §4.7.3", "30 * \"/\" {}", .packet(.publish(publish("/", "")))),
        Vector("[MQTT-1.5.4-3]", .v3_1_1, "30 * 0004 efbbbf61", .packet(.publish(publish("\u{FEFF}a", "")))),
    ]

    /// PUBLISH as the standard forbids it.
    package static let publishErrors: [Vector] = [
        Vector("[MQTT-3.3.1-4]", "36 * \"a\" 0001 {}", .error(.malformedPacket)),
        Vector("[MQTT-3.3.1-4]", .v3_1_1, "3f * \"a\" 0001", .error(.malformedPacket)),
        Vector("[MQTT-3.3.1-2]", "38 * \"a\" {}", .error(.malformedPacket)),
        Vector("[MQTT-3.3.1-2 of 3.1.1]", .v3_1_1, "39 * \"a\"", .error(.malformedPacket)),
        Vector("[MQTT-2.2.1-3]", "32 * \"a\" 0000 {}", .error(.protocolError)),
        Vector("[MQTT-2.2.1-3]", .v3_1_1, "34 * \"a\" 0000", .error(.protocolError)),
        Vector("[MQTT-3.3.2-1]", "30 01 00", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-1]", "30 00", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-1]", "30 * 0005 'abcd'", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-1 of 3.1.1]", .v3_1_1, "30 * 0005 'abcd'", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-1 of 3.1.1]", .v3_1_1, "30 * 0002 c328", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-19]", "30 * \"a\" { 03 0002 c328 }", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.3.2.2", "32 * \"a\" 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.3.2.3", "30 * \"a\"", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.3.2.3", "30 * \"a\" 03 01 00", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-2]", "30 * \"a/+\" {}", .error(.topicNameInvalid)),
        Vector("[MQTT-3.3.2-2]", .v3_1_1, "30 * \"#\"", .error(.topicNameInvalid)),
        Vector("[MQTT-4.7.3-1]", .v3_1_1, "30 * \"\" 'x'", .error(.topicNameInvalid)),
        Vector("MQTT 5.0 §3.3.2.1", "30 * \"\" {} 'x'", .error(.protocolError)),
        Vector("[MQTT-1.5.4-1]", "30 * 0003 eda080 {}", .error(.malformedPacket)),
        Vector("[MQTT-1.5.4-2]", "30 * 0003 610062 {}", .error(.malformedPacket)),
        Vector("[MQTT-3.3.2-8]", "30 * \"a\" { 23 0000 }", .error(.topicAliasInvalid)),
        Vector("[MQTT-3.3.2-14]", "30 * \"a\" { 08 \"b/#\" }", .error(.protocolError)),
        Vector("[MQTT-3.3.2-13]", "30 * \"a\" { 08 0001 ff }", .error(.malformedPacket)),
        Vector("[MQTT-3.3.4-6]", "30 * \"a\" { 0b 01 }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.3.2.3.8", by: .client, "30 * \"a\" { 0b 00 }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.3.2.3.2", "30 * \"a\" { 01 02 }", .error(.protocolError)),
    ]

    private static func publish(
        _ topic: String?,
        _ text: String,
        _ qos: QoS = .atMostOnce,
        _ packetID: PacketID? = nil,
        _ configure: (inout Publish) -> Void = { _ in }
    ) -> Publish {
        var publish = Publish(
            topic: topic.flatMap { try? TopicName($0) },
            payload: ByteBuffer(string: text),
            qos: qos,
            packetID: packetID
        )
        configure(&publish)
        return publish
    }

    private static var everything: PublishProperties {
        var properties = PublishProperties()
        properties.payloadFormatIndicator = false
        properties.messageExpiryInterval = .max
        properties.responseTopic = "r/1"
        properties.correlationData = ByteBuffer()
        properties.contentType = "x"
        properties.userProperties = [UserProperty("b", "1"), UserProperty("a", "2"), UserProperty("b", "1")]
        return properties
    }
}
