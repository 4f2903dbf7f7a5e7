import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore

extension Golden {
    static func message() throws -> Golden {
        let message = try Message("a/b", "hello")
        return Golden(
            "message, version 1",
            "'m' 0000000000000009",
            "01 01 01 01 05 01 03 'a/b' 'hello'",
            before: [session],
            recovered: session.recovered + [
                "message 9 \(message.cost) bytes expires never for 5/1 atLeastOnce false [] - queued"
            ]
        ) { $0.add(message, number: MessageNumber(9), for: [StoredDestination(5)]) }
    }

    /// For three: one that gets it with everything there is, one that it was sent to, one that is through with it.
    static func fullMessage() throws -> Golden {
        var properties = PublishProperties()
        properties.responseTopic = "re"
        properties.correlationData = ByteBuffer(bytes: [1, 2])
        properties.userProperties = [UserProperty("k", "v"), UserProperty("k", "w")]
        let message = Message(
            topic: try TopicName("a/ü"),
            payload: ByteBuffer(bytes: [0, 255]),
            qos: .exactlyOnce,
            retain: true,
            properties: .forwarded(from: properties),
            expiresAt: after(milliseconds: 5_000),
            publisher: PublisherID(rawValue: 0xa1a2_a3a4_a5a6_a7a8)
        )
        let destinations = [
            StoredDestination(
                session: SessionNumber(rawValue: 5),
                sequence: 300,
                qos: .atLeastOnce,
                retain: true,
                identifiers: [1, 268_435_455],
                share: "$share/g/#",
                state: .queued
            ),
            StoredDestination(5, 301, .published(0x1234)),
            StoredDestination(5, 302, .done),
        ]
        return Golden(
            "message with everything, version 1",
            "'m' 000000000000000a",
            """
            01 3e 0000018bcfe57b88 a1a2a3a4a5a6a7a8 03
            1d 05 ac02 02 01 ffffff7f 0a '$share/g/#'
            21 05 ad02 1234
            61 05 ae02
            04 'a/ü' { 08 "re" 09 0002 0102 26 "k" "v" 26 "k" "w" } 00ff
            """,
            before: [session],
            recovered: session.recovered + [
                "message 10 \(message.cost) bytes expires 6000000000 for "
                    + "5/300 atLeastOnce true [1, 268435455] $share/g/# queued, "
                    + "5/301 atLeastOnce false [] - published(4660), done"
            ]
        ) { $0.add(message, number: MessageNumber(10), for: destinations) }
    }

    static func published() throws -> Golden {
        try delivery("published", .published(0x1234), "01 01 1234", "published(4660)")
    }

    static func released() throws -> Golden {
        try delivery("released", .released(0x1234), "01 02 1234", "released(4660)")
    }

    private static func delivery(
        _ name: String,
        _ state: DeliveryState,
        _ value: String,
        _ words: String
    ) throws -> Golden {
        Golden(
            "delivery \(name), version 1",
            "'m' 0000000000000009 00000000",
            value,
            before: [session, try message()],
            recovered: session.recovered + [
                "message 9 \(Message.cost(topic: 3, payload: 5, properties: nil)) bytes expires never for "
                    + "5/1 atLeastOnce false [] - \(words)"
            ]
        ) { $0.add(.delivery(StoredPlace(9), state)) }
    }

    /// One of two deliveries: a message of which none is left would go.
    static func done() throws -> Golden {
        let message = try Message("t", "")
        let before = Golden("", "'m' 000000000000000b", "01 01 02 01 05 01 01 05 02 01 't'", recovered: []) {
            $0.add(message, number: MessageNumber(11), for: [StoredDestination(5), StoredDestination(5, 2)])
        }
        return Golden(
            "delivery done, version 1",
            "'m' 000000000000000b 00000001",
            "01 03",
            before: [session, before],
            recovered: session.recovered + [
                "message 11 \(message.cost) bytes expires never for 5/1 atLeastOnce false [] - queued, done"
            ]
        ) { $0.add(.delivery(StoredPlace(11, 1), .done)) }
    }

    static func retained() throws -> Golden {
        let message = try Message("a/b", "on")
        return Golden(
            "retained message, version 1",
            "'ta/b'",
            "01 01 'on'",
            recovered: ["retained a/b 6f6e atLeastOnce false publisher 0 expires never properties -"]
        ) { $0.add(.retained(message)) }
    }

    static func fullRetained() throws -> Golden {
        var properties = PublishProperties()
        properties.contentType = "x"
        let message = Message(
            topic: try TopicName("a/c"),
            payload: ByteBuffer(),
            qos: .atMostOnce,
            retain: true,
            properties: .forwarded(from: properties),
            expiresAt: after(milliseconds: 0),
            publisher: PublisherID(rawValue: 7)
        )
        return Golden(
            "retained message with everything, version 1",
            "'ta/c'",
            "01 3c 0000018bcfe56800 0000000000000007 { 03 \"x\" }",
            recovered: [
                "retained a/c  atMostOnce true publisher 7 expires 1000000000 properties - - - - x []"
            ]
        ) { $0.add(.retained(message)) }
    }
}
