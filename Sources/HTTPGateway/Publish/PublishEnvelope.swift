import FoundationEssentials
import HTTPTypes
import JSONMessages
import MQTTCodec
package import NIOCore

/// A message as JSON: `{"topic": …, "payload": …, "payload_encoding": …, "qos": …, "retain": …, "properties": …}`.
package enum PublishEnvelope {
    /// Reads one message, or the many of a batch.
    ///
    /// - Returns: the messages, and whether they came as an array.
    /// - Throws: 400 when it is no JSON, 413 when the batch is too long, 422 when the JSON is no message.
    package static func read(
        _ body: ByteBuffer,
        maximumBatch: Int
    ) throws(Problem) -> (messages: [PublishRequest], isBatch: Bool) {
        let isBatch = body.readableBytesView.first { $0 > UInt8(ascii: " ") } == UInt8(ascii: "[")
        let reading = JSONFields.Reading(body, maximumFilters: maximumBatch)
        guard isBatch else { return ([try JSONFields.decode(One.self, body, reading).message], false) }
        let messages = try JSONFields.decode(Batch.self, body, reading).messages
        guard !messages.isEmpty else { throw .unprocessable("the batch is empty", .malformedPacket) }
        return (messages, true)
    }

    private struct One: Decodable {
        let message: PublishRequest

        init(from decoder: any Decoder) throws {
            var fields = try JSONFields(decoder)
            message = try PublishEnvelope.request(&fields)
            try fields.finish()
        }
    }

    private struct Batch: Decodable {
        var messages: [PublishRequest] = []

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            while !list.isAtEnd {
                let place = messages.count
                do throws(Problem) {
                    guard let decoder = try? list.superDecoder() else { return }
                    var fields = try JSONFields(decoder, place: place)
                    if let maximum = fields.reading?.maximumFilters, place >= maximum {
                        throw Problem(.contentTooLarge, .quotaExceeded, "a batch has at most \(maximum) messages")
                    }
                    messages.append(try PublishEnvelope.request(&fields))
                    try fields.finish()
                } catch {
                    guard error.status != .contentTooLarge else { throw error }
                    throw Problem(error.status, error.reasonCode, "message \(place): \(error.detail)")
                }
            }
        }
    }

    /// Reads the fields of a message.
    ///
    /// - Throws: 422 when one is missing or has a value MQTT has not, 400 when the topic is none.
    static func request(_ fields: inout JSONFields) throws(Problem) -> PublishRequest {
        guard let topic = try fields.text("topic") else { throw fields.missing("topic") }
        let name = try TopicPath.name(topic)
        let encoding = try fields.choice("payload_encoding", PayloadEncoding.self)
        let payload = try fields.payload("payload", encoding)
        let qos = try fields.integer("qos", in: 0...2) ?? 0
        let retain = try fields.flag("retain") ?? false
        var properties = PublishProperties()
        if var object = try fields.object("properties") { properties = try object.publishProperties() }
        if properties.payloadFormatIndicator == true, !payload.isUTF8 {
            throw .unprocessable("the payload is not the UTF-8 that payload_format_indicator promises")
        }
        if properties.payloadFormatIndicator == false { properties.payloadFormatIndicator = nil }
        try properties.check()
        return PublishRequest(
            topic: name,
            payload: payload,
            qos: QoS(rawValue: UInt8(qos)) ?? .atMostOnce,
            retain: retain,
            properties: properties.isEmpty ? nil : properties
        )
    }

    static func bytes(_ text: String, _ encoding: PayloadEncoding?, _ name: String) throws(Problem) -> ByteBuffer {
        guard encoding == .base64 else { return ByteBuffer(string: text) }
        guard let data = Data(base64Encoded: text) else { throw .unprocessable("\(name) is not base64") }
        return ByteBuffer(bytes: data)
    }
}

extension JSONFields {
    /// Reads the MQTT 5 properties of a message.
    ///
    /// - Throws: 422 when a value is none MQTT allows.
    fileprivate mutating func publishProperties() throws(Problem) -> PublishProperties {
        var properties = PublishProperties()
        properties.payloadFormatIndicator = try integer("payload_format_indicator", in: 0...1).map { $0 == 1 }
        properties.messageExpiryInterval = try integer("message_expiry_interval", in: 0...Int(UInt32.max))
            .map { UInt32($0) }
        if let responseTopic = try text("response_topic") {
            properties.responseTopic = try TopicPath.name(responseTopic).string
        }
        let encoding = try choice("correlation_data_encoding", PayloadEncoding.self)
        if let correlationData = try text("correlation_data") {
            properties.correlationData = try PublishEnvelope.bytes(correlationData, encoding, "correlation_data")
        }
        properties.contentType = try text("content_type")
        properties.userProperties = try UserProperties(
            checking: try pairs("user_properties")?.map { UserProperty($0.name, $0.value) } ?? []
        )
        try finish()
        return properties
    }
}
