import MQTTCodec
import NIOCore

extension Vector {
    /// SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK as the standard has it.
    package static let subscribingPackets: [Vector] = [
        Vector(
            "MQTT 3.1.1 §3.8",
            .v3_1_1,
            "82 * 000a \"a/b\" 01 \"c/+\" 02",
            .packet(
                .subscribe(
                    Subscribe(
                        packetID: 10,
                        subscriptions: [
                            .init(filter: "a/b", options: SubscriptionOptions(qos: .atLeastOnce)),
                            .init(filter: "c/+", options: SubscriptionOptions(qos: .exactlyOnce)),
                        ]
                    )
                )
            )
        ),
        Vector(
            "MQTT 5.0 §3.8",
            "82 * 000a { 0b ffffff7f 26 \"a\" \"b\" } \"#\" 2e",
            .packet(
                .subscribe(
                    Subscribe(
                        packetID: 10,
                        subscriptions: [
                            .init(
                                filter: "#",
                                options: SubscriptionOptions(
                                    qos: .exactlyOnce,
                                    noLocal: true,
                                    retainAsPublished: true,
                                    retainHandling: .doNotSend
                                )
                            )
                        ],
                        subscriptionIdentifier: 268_435_455,
                        userProperties: [UserProperty("a", "b")]
                    )
                )
            )
        ),
        Vector(
            "[MQTT-3.9.3-1]",
            .v3_1_1,
            by: .client,
            "90 06 0001 00 01 02 80",
            .packet(
                .suback(
                    Suback(
                        packetID: 1,
                        reasonCodes: [.grantedQoS0, .grantedQoS1, .grantedQoS2, .unspecifiedError]
                    )
                )
            )
        ),
        Vector(
            "[MQTT-3.9.3-1]",
            by: .client,
            "90 * 0001 { 1f \"r\" } 02 8f",
            .packet(
                .suback(
                    Suback(
                        packetID: 1,
                        reasonCodes: [.grantedQoS2, .topicFilterInvalid],
                        reasonString: "r"
                    )
                )
            )
        ),
        Vector(
            "MQTT 3.1.1 §3.10",
            .v3_1_1,
            "a2 * 0007 \"a\" \"b/#\"",
            .packet(.unsubscribe(Unsubscribe(packetID: 7, filters: ["a", "b/#"])))
        ),
        Vector(
            "MQTT 5.0 §3.10",
            "a2 * 0007 { 26 \"x\" \"y\" } \"a\"",
            .packet(
                .unsubscribe(
                    Unsubscribe(
                        packetID: 7,
                        filters: ["a"],
                        userProperties: [UserProperty("x", "y")]
                    )
                )
            )
        ),
        Vector("MQTT 3.1.1 §3.11", .v3_1_1, by: .client, "b0 02 0007", .packet(.unsuback(Unsuback(packetID: 7)))),
        Vector(
            "[MQTT-3.11.3-1]",
            by: .client,
            "b0 * 0007 {} 00 11",
            .packet(
                .unsuback(
                    Unsuback(
                        packetID: 7,
                        reasonCodes: [.success, .noSubscriptionExisted]
                    )
                )
            )
        ),
    ]

    /// SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK as the standard forbids it.
    package static let subscribingErrors: [Vector] = [
        Vector("[MQTT-3.8.1-1]", "80 * 0001 {} \"a\" 00", .error(.malformedPacket)),
        Vector("[MQTT-3.8.1-1]", .v3_1_1, "83 * 0001 \"a\" 00", .error(.malformedPacket)),
        Vector("[MQTT-2.2.1-3]", "82 * 0000 {} \"a\" 00", .error(.protocolError)),
        Vector("[MQTT-3.8.3-2]", "82 * 0001 {}", .error(.protocolError)),
        Vector("[MQTT-3.8.3-2]", .v3_1_1, "82 * 0001", .error(.protocolError)),
        Vector("MQTT 5.0 §3.8.3", "82 * 0001 {} \"a\"", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.8.3", "82 * 0001 {} \"a\" 00 0002 'b'", .error(.malformedPacket)),
        Vector("[MQTT-3.8.3-1]", "82 * 0001 {} 0001 80 00", .error(.malformedPacket)),
        Vector("[MQTT-3.8.3-1 of 3.1.1]", .v3_1_1, "82 * 0001 0001 80 00", .error(.malformedPacket)),
        Vector("[MQTT-3.8.3-4]", "82 * 0001 {} \"$share/g/a\" 04", .error(.protocolError)),
        Vector("MQTT 5.0 §3.8.3.1", "82 * 0001 {} \"a\" 30", .error(.protocolError)),
        Vector("MQTT 5.0 §3.8.2.1.2", "82 * 0001 { 0b 00 } \"a\" 00", .error(.protocolError)),
        Vector("MQTT 5.0 §3.8.2.1.2", "82 * 0001 { 0b 01 0b 02 } \"a\" 00", .error(.protocolError)),
        Vector("MQTT 5.0 §3.8.2.1.2", "82 * 0001 { 0b ffffffff01 } \"a\" 00", .error(.malformedPacket)),
        Vector("[MQTT-3.9.3-2]", by: .client, "90 * 0001 {} 03", .error(.protocolError)),
        Vector("[MQTT-3.9.3-2] of 3.1.1", .v3_1_1, by: .client, "90 03 0001 87", .error(.protocolError)),
        Vector("MQTT 5.0 §3.9", by: .server, "90 * 0001 {} 00", .error(.protocolError)),
        Vector("[MQTT-3.10.1-1]", "a0 * 0001 {} \"a\"", .error(.malformedPacket)),
        Vector("[MQTT-3.10.1-1 of 3.1.1]", .v3_1_1, "a0 * 0001 \"a\"", .error(.malformedPacket)),
        Vector("[MQTT-2.2.1-3]", "a2 * 0000 {} \"a\"", .error(.protocolError)),
        Vector("[MQTT-3.10.3-2]", "a2 * 0001 {}", .error(.protocolError)),
        Vector("[MQTT-3.10.3-2]", .v3_1_1, "a2 02 0001", .error(.protocolError)),
        Vector("[MQTT-3.10.3-1]", "a2 * 0001 {} 0002 c080", .error(.malformedPacket)),
        Vector("[MQTT-3.10.3-1 of 3.1.1]", .v3_1_1, "a2 * 0001 0002 c080", .error(.malformedPacket)),
        Vector("[MQTT-3.11.3-2]", by: .client, "b0 * 0001 {} 80 01", .error(.protocolError)),
        Vector("MQTT 3.1.1 §3.11", .v3_1_1, by: .client, "b0 03 0001 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.11", by: .server, "b0 * 0001 {} 00", .error(.protocolError)),
        Vector("MQTT 5.0 §3.8", by: .client, "82 * 0001 {} \"a\" 00", .error(.protocolError)),
        Vector("MQTT 5.0 §3.10", by: .client, "a2 * 0001 {} \"a\"", .error(.protocolError)),
    ]
}
