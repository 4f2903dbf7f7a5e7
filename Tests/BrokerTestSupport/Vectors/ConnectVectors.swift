import MQTTCodec
import NIOCore

extension Vector {
    /// CONNECT as the standard has it.
    package static let connectPackets: [Vector] = [
        Vector("MQTT 3.1.1 §3.1", .v3_1_1, "10 0e 0004 'MQTT' 04 02 003c 0002 'id'", .packet(.connect(plain(.v3_1_1)))),
        Vector("MQTT 5.0 §3.1", "10 0f 0004 'MQTT' 05 02 003c 00 0002 'id'", .packet(.connect(plain(.v5)))),
        Vector("[MQTT-3.1.3-6]", "10 * \"MQTT\" 05 00 0000 {} \"\"", .packet(.connect(Connect(cleanStart: false)))),
        Vector(
            "[MQTT-3.1.3-1]",
            .v3_1_1,
            "10 * \"MQTT\" 04 f6 ffff \"id\" \"w/t\" \"bye\" \"user\" \"pass\"",
            .packet(.connect(full311))
        ),
        Vector(
            "[MQTT-3.1.3-1]",
            """
            10 * "MQTT" 05 ee 0001
            { 11 00000e10 21 0014 27 00010000 22 000a 19 01 17 00 15 "SCRAM" 16 0002 beef 26 "a" "1" 26 "a" "2" }
            "id" { 01 01 02 0000003c 08 "re" 09 0003 010203 03 "text" 26 "k" "v" 18 00000005 } "w" 0000 "u" 0001 ff
            """,
            .packet(.connect(full5))
        ),
        Vector("[MQTT-3.1.2-16]", "10 * \"MQTT\" 05 42 0000 {} \"id\" \"pw\"", .packet(.connect(passwordOnly))),
        Vector(
            "MQTT 5.0 §3.1.3.3",
            "10 * \"MQTT\" 05 06 0000 {} \"\" { 18 00000000 } \"w\" \"\"",
            .decodes(.connect(bareWill))
        ),
    ]

    /// CONNECT as the standard forbids it.
    package static let connectErrors: [Vector] = [
        Vector("[MQTT-3.1.2-1]", "10 * \"MQTZ\" 05 02 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-1]", "10 * \"mqtt\" 05 02 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-1]", "10 * \"\" 05 02 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-2]", "10 * \"MQTT\" 03 02 003c \"id\"", .error(.unsupportedProtocolVersion)),
        Vector("[MQTT-3.1.2-2]", "10 * \"MQTT\" 06 02 003c {} \"id\"", .error(.unsupportedProtocolVersion)),
        Vector("[MQTT-3.1.2-2]", "10 * \"MQTT\" 85 02 003c \"id\"", .error(.unsupportedProtocolVersion)),
        Vector("[MQTT-3.1.2-2]", "10 * \"MQIsdp\" 03 02 003c \"id\"", .error(.unsupportedProtocolVersion)),
        Vector("[MQTT-3.1.2-3]", "10 * \"MQTT\" 05 03 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-3]", "10 * \"MQTT\" 04 03 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-1 of 3.1.1]", .v3_1_1, "10 * \"MQTZ\" 04 02 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-9]", "10 * \"MQTT\" 05 06 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-9]", "10 * \"MQTT\" 05 06 003c {} \"id\" {}", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-9]", "10 * \"MQTT\" 05 06 003c {} \"id\" {} \"w\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-9]", "10 * \"MQTT\" 05 02 003c {} \"id\" {} \"w\" \"\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-9 of 3.1.1]", "10 * \"MQTT\" 04 06 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-9 of 3.1.1]", "10 * \"MQTT\" 04 06 003c \"id\" \"w\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-11]", "10 * \"MQTT\" 05 0a 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-11]", "10 * \"MQTT\" 04 12 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-12]", "10 * \"MQTT\" 05 1e 003c {} \"id\" {} \"w\" \"\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-12]", "10 * \"MQTT\" 05 1a 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-13]", "10 * \"MQTT\" 05 22 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-11 of 3.1.1]", "10 * \"MQTT\" 04 02 003c \"id\" \"w\" \"\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-13 of 3.1.1]", "10 * \"MQTT\" 04 0a 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-14 of 3.1.1]", "10 * \"MQTT\" 04 1e 003c \"id\" \"w\" \"\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-15 of 3.1.1]", "10 * \"MQTT\" 04 22 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-22] of 3.1.1", "10 * \"MQTT\" 04 42 003c \"id\" \"pw\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-18]", "10 * \"MQTT\" 05 82 003c {} \"id\" \"u\" \"pw\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-20 of 3.1.1]", "10 * \"MQTT\" 04 82 003c \"id\" \"u\" \"pw\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-18 of 3.1.1]", "10 * \"MQTT\" 04 02 003c \"id\" \"u\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-19 of 3.1.1]", "10 * \"MQTT\" 04 82 003c \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-21 of 3.1.1]", "10 * \"MQTT\" 04 c2 003c \"id\" \"u\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-17]", "10 * \"MQTT\" 05 82 003c {} \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-19]", "10 * \"MQTT\" 05 c2 003c {} \"id\" \"u\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-16]", "10 * \"MQTT\" 05 02 003c {} \"id\" \"u\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.2-16]", "10 * \"MQTT\" 04 02 003c \"id\" 00", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-3]", "10 * \"MQTT\" 05 02 003c {}", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-4]", "10 * \"MQTT\" 05 02 003c {} 0002 c328", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-3 of 3.1.1]", "10 * \"MQTT\" 04 02 003c", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-4 of 3.1.1]", "10 * \"MQTT\" 04 02 003c 0002 c328", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-10 of 3.1.1]", "10 * \"MQTT\" 04 06 003c \"id\" 0002 c328 \"\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-11 of 3.1.1]", "10 * \"MQTT\" 04 82 003c \"id\" 0001 00", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-11]", "10 * \"MQTT\" 05 06 003c {} \"id\" {} 0002 c328 \"\"", .error(.malformedPacket)),
        Vector("[MQTT-3.1.3-12]", "10 * \"MQTT\" 05 82 003c {} \"id\" 0001 00", .error(.malformedPacket)),
        Vector("[MQTT-4.7.3-1]", "10 * \"MQTT\" 05 06 003c {} \"id\" {} \"\" \"\"", .error(.topicNameInvalid)),
        Vector("[MQTT-4.7.0-1]", "10 * \"MQTT\" 05 06 003c {} \"id\" {} \"a/#\" \"\"", .error(.topicNameInvalid)),
        Vector("MQTT 5.0 §3.1.2.11.10", "10 * \"MQTT\" 05 02 003c { 16 0001 00 } \"id\"", .error(.protocolError)),
        Vector("MQTT 5.0 §3.1.2.11.1", "10 * \"MQTT\" 05 02 003c 05 \"id\"", .error(.malformedPacket)),
        Vector("[MQTT-2.2.2-1]", "10 * \"MQTT\" 05 02 003c", .error(.malformedPacket)),
        Vector("[MQTT-3.1.0-1]", "10 00", .error(.malformedPacket)),
        Vector("MQTT 5.0 §3.1", by: .client, "10 * \"MQTT\" 05 02 003c {} \"id\"", .error(.protocolError)),
    ]

    private static func plain(_ version: ProtocolVersion) -> Connect {
        Connect(version: version, keepAlive: 60, clientID: "id")
    }

    private static var passwordOnly: Connect {
        Connect(clientID: "id", password: ByteBuffer(string: "pw"))
    }

    private static var bareWill: Connect {
        var connect = Connect()
        connect.will = (try? TopicName("w")).map { Will(topic: $0, payload: ByteBuffer()) }
        return connect
    }

    private static var full311: Connect {
        var connect = Connect(version: .v3_1_1, keepAlive: .max, clientID: "id")
        connect.will = (try? TopicName("w/t")).map {
            Will(topic: $0, payload: ByteBuffer(string: "bye"), qos: .exactlyOnce, retain: true)
        }
        connect.userName = "user"
        connect.password = ByteBuffer(string: "pass")
        return connect
    }

    private static var full5: Connect {
        var connect = Connect(keepAlive: 1, clientID: "id", userName: "u", password: ByteBuffer(bytes: [0xff]))
        connect.properties.sessionExpiryInterval = 3_600
        connect.properties.receiveMaximum = 20
        connect.properties.maximumPacketSize = 65_536
        connect.properties.topicAliasMaximum = 10
        connect.properties.requestResponseInformation = true
        connect.properties.requestProblemInformation = false
        connect.properties.authenticationMethod = "SCRAM"
        connect.properties.authenticationData = ByteBuffer(bytes: [0xbe, 0xef])
        connect.properties.userProperties = [UserProperty("a", "1"), UserProperty("a", "2")]
        var will = PublishProperties()
        will.payloadFormatIndicator = true
        will.messageExpiryInterval = 60
        will.responseTopic = "re"
        will.correlationData = ByteBuffer(bytes: [1, 2, 3])
        will.contentType = "text"
        will.userProperties = [UserProperty("k", "v")]
        connect.will = (try? TopicName("w")).map {
            Will(
                topic: $0,
                payload: ByteBuffer(),
                qos: .atLeastOnce,
                retain: true,
                delayInterval: 5,
                properties: will
            )
        }
        return connect
    }
}
