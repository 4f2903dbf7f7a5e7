import BrokerCore
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
