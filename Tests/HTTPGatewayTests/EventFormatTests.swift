import BrokerCore
import BrokerTestSupport
import Foundation
import HTTPGateway
import JSONMessages
import MQTTCodec
import NIOCore
import Testing

@Suite struct EventFormatTests {
    private func delivery(
        _ payload: [UInt8],
        properties: PublishProperties? = nil,
        expiresAt: NIODeadline = .distantFuture
    ) throws -> Delivery {
        Delivery(
            message: Message(
                topic: try TopicName("a/b"),
                payload: ByteBuffer(bytes: payload),
                qos: .atLeastOnce,
                properties: properties.flatMap(MessageProperties.forwarded),
                expiresAt: expiresAt
            ),
            qos: .atLeastOnce,
            retain: true,
            dup: false,
            packetID: 1,
            subscriptionIdentifiers: [],
            sequence: 7
        )
    }

    private func written(_ format: EventFormat, _ delivery: Delivery) -> String {
        var buffer = ByteBuffer()
        format.write(delivery, epoch: "e", at: .uptimeNanoseconds(0), by: MessageEncoder(), to: &buffer)
        return String(buffer: buffer)
    }

    @Test("a message is one event, whatever lines its payload has")
    func events() throws {
        let text = written(.serverSentEvents, try delivery(Array("x\n\"y\"".utf8)))
        #expect(
            text == "id: e.7\ndata: {\"payload\":\"x\\n\\\"y\\\"\",\"qos\":1,\"retain\":true,\"topic\":\"a/b\"}\n\n"
        )
    }

    @Test("a message is one line of JSON with its identifier")
    func lines() throws {
        let text = written(.jsonLines, try delivery(Array("x".utf8)))
        #expect(text == "{\"id\":\"e.7\",\"payload\":\"x\",\"qos\":1,\"retain\":true,\"topic\":\"a/b\"}\n")
    }

    @Test("bytes that are no text go as base64 and say so")
    func binary() throws {
        let text = written(.serverSentEvents, try delivery([0xff, 0x00]))
        #expect(text.contains(#""payload":"/wA=","payload_encoding":"base64""#))
    }

    @Test("the properties of MQTT 5 go along, with the seconds left")
    func properties() throws {
        var properties = PublishProperties()
        properties.contentType = "text/plain"
        properties.payloadFormatIndicator = true
        properties.correlationData = ByteBuffer(bytes: [0xff])
        properties.userProperties = [UserProperty("k", "1"), UserProperty("k", "2")]
        let text = written(
            .jsonLines,
            try delivery([], properties: properties, expiresAt: .uptimeNanoseconds(1_500_000_000))
        )
        #expect(
            text.contains(
                #""properties":{"content_type":"text/plain","correlation_data":"/w==","correlation_data_encoding":"base64","#
                    + #""message_expiry_interval":2,"payload_format_indicator":1,"user_properties":{"k":["1","2"]}}"#
            )
        )
    }

    @Test("user properties are an object in the order in which their names came, byte for byte")
    func userProperties() throws {
        var properties = PublishProperties()
        properties.userProperties = [
            UserProperty("z", "1"), UserProperty("a\u{301}", "2"), UserProperty("\u{e1}", "3"), UserProperty("", ""),
            UserProperty("z", "\"\u{1}\n"), UserProperty("a", "4"), UserProperty("z", "5"),
        ]
        let text = written(.jsonLines, try delivery([], properties: properties))
        #expect(
            text.contains(
                #""user_properties":{"z":["1","\"\u0001\n","5"],"\#("a\u{301}")":"2","\#("\u{e1}")":"3","":"","a":"4"}"#
            )
        )
    }

    @Test("whatever text a message has, a reader of JSON gets the same", arguments: 0..<20)
    func texts(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        func text() -> String {
            let scalars = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                Unicode.Scalar(UInt32.random(in: 1...(Bool.random(using: &random) ? 0x7F : 0x2FF), using: &random))
                    ?? "?"
            }
            return String(String.UnicodeScalarView(scalars))
        }
        var properties = PublishProperties()
        let users = (0..<200).map { _ in UserProperty(String(text().unicodeScalars.prefix(2)), text()) }
        properties.userProperties = UserProperties(users)
        let payload = text()
        let line = written(.jsonLines, try delivery(Array(payload.utf8), properties: properties))
        let read = try JSONDecoder().decode(ReadMessage.self, from: Data(line.utf8))
        #expect(read.payload.isSame(as: payload))
        // Foundation's reader takes names that are canonically equivalent for one.
        let names = Set(users.map { ExactText($0.name) })
        for name in names where names.count(where: { $0.string == name.string }) == 1 {
            let expected = users.filter { $0.name.isSame(as: name.string) }.map(\.value)
            #expect(
                read.properties.userProperties[name.string]?.values.map { Array($0.utf8) }
                    == expected.map { Array($0.utf8) }
            )
        }
    }

    private struct ReadMessage: Decodable {
        struct Properties: Decodable {
            let userProperties: [String: OneOrMore]

            enum CodingKeys: String, CodingKey { case userProperties = "user_properties" }
        }

        struct OneOrMore: Decodable {
            let values: [String]

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                values = try (try? [container.decode(String.self)]) ?? container.decode([String].self)
            }
        }

        let payload: String
        let properties: Properties
    }

    @Test("a stream says how to reconnect, and that what was missed is unknown")
    func opening() {
        #expect(String(buffer: EventFormat.serverSentEvents.opening(isReset: false)) == "retry: 2000\n\n")
        #expect(
            String(buffer: EventFormat.serverSentEvents.opening(isReset: true))
                == "retry: 2000\n\nevent: reset\ndata: {}\n\n"
        )
        #expect(String(buffer: EventFormat.jsonLines.opening(isReset: true)) == "{\"event\":\"reset\"}\n")
    }

    @Test("the last words name the reason")
    func closing() {
        #expect(
            String(buffer: EventFormat.serverSentEvents.closing(.sessionTakenOver))
                == "event: takeover\ndata: {\"reason\":\"Session taken over\",\"reason_code\":142}\n\n"
        )
        #expect(String(buffer: EventFormat.jsonLines.closing(.quotaExceeded)).contains("\"event\":\"disconnect\""))
    }
}
