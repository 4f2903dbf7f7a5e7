import MQTTCodec
import NIOCore

extension Vector {
    /// CONNACK as the standard has it.
    package static let connackPackets: [Vector] = [
        Vector("[MQTT-3.2.2-2]", .v3_1_1, by: .client, "20 02 00 00", .packet(.connack(connack(.success)))),
        Vector(
            "[MQTT-3.2.2-3]",
            .v3_1_1,
            by: .client,
            "20 02 01 00",
            .packet(.connack(Connack(sessionPresent: true, reasonCode: .success)))
        ),
        Vector(
            "[MQTT-3.2.2-4] of 3.1.1",
            .v3_1_1,
            by: .client,
            "20 02 00 01",
            .packet(.connack(connack(.unsupportedProtocolVersion)))
        ),
        Vector(
            "MQTT 3.1.1 §3.2.2.3",
            .v3_1_1,
            by: .client,
            "20 02 00 02",
            .packet(.connack(connack(.clientIdentifierNotValid)))
        ),
        Vector(
            "MQTT 3.1.1 §3.2.2.3",
            .v3_1_1,
            by: .client,
            "20 02 00 03",
            .packet(.connack(connack(.serverUnavailable)))
        ),
        Vector(
            "MQTT 3.1.1 §3.2.2.3",
            .v3_1_1,
            by: .client,
            "20 02 00 04",
            .packet(.connack(connack(.badUserNameOrPassword)))
        ),
        Vector("MQTT 3.1.1 §3.2.2.3", .v3_1_1, by: .client, "20 02 00 05", .packet(.connack(connack(.notAuthorized)))),
        Vector("MQTT 5.0 §3.2", by: .client, "20 03 00 00 00", .packet(.connack(connack(.success)))),
        Vector("MQTT 5.0 §3.2", by: .client, "20 03 00 87 00", .packet(.connack(connack(.notAuthorized)))),
        Vector(
            "MQTT 5.0 §3.2.2.3",
            by: .client,
            """
            20 * 01 00 { 11 0000000a 21 0005 24 01 25 00 27 00000100 12 "made" 22 0003 1f "why" 28 00 29 01 2a 00
            13 001e 1a "resp" 1c "other" 15 "M" 16 0001 07 26 "n" "v" }
            """,
            .packet(.connack(full))
        ),
    ]

    /// CONNACK as the standard forbids it.
    package static let connackErrors: [Vector] = [
        Vector("[MQTT-3.2.2-1]", by: .client, "20 03 02 00 00", .error(.malformedPacket)),
        Vector("[MQTT-3.2.2-1]", .v3_1_1, by: .client, "20 02 80 00", .error(.malformedPacket)),
        Vector("[MQTT-3.2.2-8]", by: .client, "20 03 00 8b 00", .error(.protocolError)),
        Vector("[MQTT-3.2.2-8]", by: .client, "20 03 00 01 00", .error(.protocolError)),
        Vector("MQTT 3.1.1 §3.2.2.3", .v3_1_1, by: .client, "20 02 00 06", .error(.protocolError)),
        Vector("MQTT 3.1.1 §3.2", .v3_1_1, by: .client, "20 03 00 00 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.2", by: .client, "20 02 00 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.2", by: .client, "20 01 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.2.2.3.3", by: .client, "20 * 00 00 { 21 0000 }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.2.2.3.4", by: .client, "20 * 00 00 { 24 02 }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.2.2.3.6", by: .client, "20 * 00 00 { 27 00000000 }", .error(.protocolError)),
        Vector("MQTT 5.0 §3.2", by: .server, "20 03 00 00 00", .error(.protocolError)),
    ]

    private static func connack(_ reason: ReasonCode) -> Connack { Connack(sessionPresent: false, reasonCode: reason) }

    private static var full: Connack {
        var properties = ConnackProperties()
        properties.sessionExpiryInterval = 10
        properties.receiveMaximum = 5
        properties.maximumQoS = .atLeastOnce
        properties.retainAvailable = false
        properties.maximumPacketSize = 256
        properties.assignedClientID = "made"
        properties.topicAliasMaximum = 3
        properties.reasonString = "why"
        properties.wildcardSubscriptionAvailable = false
        properties.subscriptionIdentifierAvailable = true
        properties.sharedSubscriptionAvailable = false
        properties.serverKeepAlive = 30
        properties.responseInformation = "resp"
        properties.serverReference = "other"
        properties.authenticationMethod = "M"
        properties.authenticationData = ByteBuffer(bytes: [7])
        properties.userProperties = [UserProperty("n", "v")]
        return Connack(sessionPresent: true, reasonCode: .success, properties: properties)
    }
}
