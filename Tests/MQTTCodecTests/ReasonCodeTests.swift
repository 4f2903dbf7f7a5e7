import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Which Reason Code may stand in which packet (MQTT 5.0 table 2-6 and each packet's own), apart from the codec.
@Suite struct ReasonCodeTests {
    struct Place: Sendable, CustomTestStringConvertible {
        let name: String
        let role: PacketDecoder.Role
        let before: String
        let after: String
        let allowed: Set<UInt8>

        var testDescription: String { name }
    }

    private static let publishing: Set<UInt8> = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]

    private static let places = [
        Place(
            name: "[MQTT-3.2.2-8] CONNACK",
            role: .client,
            before: "20 * 00",
            after: "00",
            allowed: [
                0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
                0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
            ]
        ),
        Place(name: "[MQTT-3.4.2-1] PUBACK", role: .server, before: "40 * 0001", after: "", allowed: publishing),
        Place(name: "[MQTT-3.5.2-1] PUBREC", role: .server, before: "50 * 0001", after: "", allowed: publishing),
        Place(name: "[MQTT-3.6.2-1] PUBREL", role: .server, before: "62 * 0001", after: "", allowed: [0x00, 0x92]),
        Place(name: "[MQTT-3.7.2-1] PUBCOMP", role: .server, before: "70 * 0001", after: "", allowed: [0x00, 0x92]),
        Place(
            name: "[MQTT-3.9.3-2] SUBACK",
            role: .client,
            before: "90 * 0001 {}",
            after: "",
            allowed: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]
        ),
        Place(
            name: "[MQTT-3.11.3-2] UNSUBACK",
            role: .client,
            before: "b0 * 0001 {}",
            after: "",
            allowed: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]
        ),
        Place(
            name: "[MQTT-3.14.2-1] DISCONNECT of a client",
            role: .server,
            before: "e0 *",
            after: "",
            allowed: [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
        ),
        Place(
            name: "[MQTT-3.14.2-1] DISCONNECT of a server",
            role: .client,
            before: "e0 *",
            after: "",
            allowed: [
                0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
                0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
            ]
        ),
        Place(name: "[MQTT-3.15.2-1] AUTH", role: .server, before: "f0 *", after: "", allowed: [0x00, 0x18, 0x19]),
    ]

    @Test("MQTT 5.0 §2.4 takes just the Reason Codes that a packet may carry", arguments: places)
    func allowed(_ place: Place) throws {
        for code in UInt8.min...UInt8.max {
            let hex = (code < 16 ? "0" : "") + String(code, radix: 16)
            let bytes = wire("\(place.before) \(hex) \(place.after)")
            let expected: ReasonCode? = place.allowed.contains(code) ? nil : .protocolError
            #expect(failure(bytes, by: place.role) == expected, "\(hex) in \(place.name)")
        }
    }

    @Test("has a name for each Reason Code, and says the number of others")
    func names() {
        #expect(ReasonCode.receiveMaximumExceeded.name == "Receive Maximum exceeded")
        #expect(ReasonCode(rawValue: 0xfe).name == "Reason Code 254")
        #expect(ReasonCode.noSubscriptionExisted.isError == false)
        #expect(ReasonCode.unspecifiedError.isError)
    }
}
