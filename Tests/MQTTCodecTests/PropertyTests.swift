import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Which property may stand in which packet (MQTT 5.0 table 2-4), written down once more and apart from the codec.
@Suite struct PropertyTests {
    struct Place: Sendable, CustomTestStringConvertible {
        let name: String
        let role: PacketDecoder.Role
        let before: String
        let after: String

        var testDescription: String { name }

        func bytes(_ list: String) -> ByteBuffer { wire("\(before) { \(list) } \(after)") }
    }

    private static let places = [
        Place(name: "CONNECT", role: .server, before: "10 * \"MQTT\" 05 02 003c", after: "\"id\""),
        Place(name: "Will", role: .server, before: "10 * \"MQTT\" 05 06 003c {} \"id\"", after: "\"t\" \"m\""),
        Place(name: "CONNACK", role: .client, before: "20 * 00 00", after: ""),
        Place(name: "PUBLISH", role: .server, before: "30 * \"t\"", after: ""),
        Place(name: "PUBLISH to client", role: .client, before: "30 * \"t\"", after: ""),
        Place(name: "PUBACK", role: .server, before: "40 * 0001 00", after: ""),
        Place(name: "PUBREC", role: .server, before: "50 * 0001 00", after: ""),
        Place(name: "PUBREL", role: .server, before: "62 * 0001 00", after: ""),
        Place(name: "PUBCOMP", role: .server, before: "70 * 0001 00", after: ""),
        Place(name: "SUBSCRIBE", role: .server, before: "82 * 0001", after: "\"t\" 00"),
        Place(name: "SUBACK", role: .client, before: "90 * 0001", after: "00"),
        Place(name: "UNSUBSCRIBE", role: .server, before: "a2 * 0001", after: "\"t\""),
        Place(name: "UNSUBACK", role: .client, before: "b0 * 0001", after: "00"),
        Place(name: "DISCONNECT", role: .server, before: "e0 * 00", after: ""),
        Place(name: "DISCONNECT to client", role: .client, before: "e0 * 00", after: ""),
        Place(name: "AUTH", role: .server, before: "f0 * 18", after: ""),
    ]

    private static let answers: Set<String> = [
        "CONNACK", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK", "DISCONNECT", "DISCONNECT to client",
        "AUTH",
    ]
    private static let messages: Set<String> = ["PUBLISH", "PUBLISH to client", "Will"]

    /// A property with a value, and the places it may stand in.
    private static let properties: [(words: String, places: Set<String>)] = [
        ("01 01", messages), ("02 00000001", messages), ("03 \"x\"", messages), ("08 \"x\"", messages),
        ("09 0001 00", messages),
        ("0b 01", ["PUBLISH to client", "SUBSCRIBE"]),
        ("11 00000001", ["CONNECT", "CONNACK", "DISCONNECT"]),
        ("12 \"x\"", ["CONNACK"]), ("13 0001", ["CONNACK"]),
        ("15 \"x\"", ["CONNECT", "CONNACK", "AUTH"]),
        ("16 0001 00", ["CONNECT", "CONNACK", "AUTH"]),
        ("17 01", ["CONNECT"]), ("18 00000001", ["Will"]), ("19 01", ["CONNECT"]), ("1a \"x\"", ["CONNACK"]),
        ("1c \"x\"", ["CONNACK", "DISCONNECT to client"]),
        ("1f \"x\"", answers),
        ("21 0001", ["CONNECT", "CONNACK"]), ("22 0001", ["CONNECT", "CONNACK"]),
        ("23 0001", ["PUBLISH", "PUBLISH to client"]),
        ("24 01", ["CONNACK"]), ("25 01", ["CONNACK"]),
        ("26 \"x\" \"y\"", Set(places.map(\.name))),
        ("27 00000001", ["CONNECT", "CONNACK"]),
        ("28 01", ["CONNACK"]), ("29 01", ["CONNACK"]), ("2a 01", ["CONNACK"]),
    ]

    @Test("MQTT 5.0 §2.2.2.2 takes each property in the packets it belongs into, and in no other", arguments: places)
    func belongs(_ place: Place) throws {
        #expect(failure(place.bytes(""), by: place.role) == nil)
        for property in Self.properties {
            // Authentication Data needs its Method beside it.
            let needsMethod = property.words.hasPrefix("16") && place.name == "CONNECT"
            let bytes = place.bytes(needsMethod ? "15 \"x\" \(property.words)" : property.words)
            let expected: ReasonCode? = property.places.contains(place.name) ? nil : .protocolError
            #expect(failure(bytes, by: place.role) == expected, "\(property.words) in \(place.name)")
        }
    }

    @Test("MQTT 5.0 §2.2.2.2 refuses a property that comes twice, unless it may", arguments: places)
    func twice(_ place: Place) throws {
        for property in Self.properties where property.places.contains(place.name) {
            let mayRepeat =
                property.words.hasPrefix("26") || (property.words.hasPrefix("0b") && place.name == "PUBLISH to client")
            let bytes = place.bytes(
                "15 \"x\" \(property.words) \(property.words)".withoutMethod(
                    unless: place.name == "CONNECT" && property.words.hasPrefix("16")
                )
            )
            #expect(
                failure(bytes, by: place.role) == (mayRepeat ? nil : .protocolError),
                "\(property.words) twice in \(place.name)"
            )
        }
    }

    @Test("MQTT 5.0 §2.2.2 refuses a property whose value is cut off by the end of the list", arguments: places)
    func cutOff(_ place: Place) throws {
        for property in Self.properties where property.places.contains(place.name) {
            let whole = wireBytes(property.words)
            for length in 1..<whole.count {
                let hex = whole.prefix(length).map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
                let reason = failure(place.bytes(hex.joined(separator: " ")), by: place.role)
                #expect(reason == .malformedPacket, "\(hex) in \(place.name)")
            }
        }
    }

    @Test("MQTT 5.0 §2.2.2.2 refuses identifiers that are no property's", arguments: places)
    func unknown(_ place: Place) throws {
        let known = Set(Self.properties.compactMap { UInt8($0.words.prefix(2), radix: 16) })
        for identifier in UInt8.min...0x7f where !known.contains(identifier) {
            let hex = (identifier < 16 ? "0" : "") + String(identifier, radix: 16)
            #expect(failure(place.bytes("\(hex) 00000000"), by: place.role) == .malformedPacket, "\(hex)")
        }
        // An identifier is a Variable Byte Integer: longer ones are unknown, too.
        #expect(failure(place.bytes("8101 00"), by: place.role) == .malformedPacket)
        #expect(failure(place.bytes("ffffff7f 00"), by: place.role) == .malformedPacket)
    }
}

extension String {
    /// Drops the Authentication Method written in front, unless it is needed.
    fileprivate func withoutMethod(unless isNeeded: Bool) -> String { isNeeded ? self : String(dropFirst(7)) }
}
