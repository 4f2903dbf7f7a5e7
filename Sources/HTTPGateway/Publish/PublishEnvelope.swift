import FoundationEssentials
import HTTPTypes
import JSONMessages
import MQTTCodec
package import NIOCore

/// A message as JSON: `{"topic": …, "payload": …, "payload_encoding": …, "qos": …, "retain": …, "properties": …}`.
package struct PublishEnvelope: Decodable, Sendable {
    let topic: String
    let payload: String
    let encoding: PayloadEncoding?
    let qos: Int?
    let retain: Bool?
    let properties: PropertiesJSON?

    enum CodingKeys: String, CodingKey {
        case topic
        case payload
        case encoding = "payload_encoding"
        case qos
        case retain
        case properties
    }

    /// Reads one message, or the many of a batch.
    ///
    /// - Returns: the messages, and whether they came as an array.
    /// - Throws: 400 when it is no JSON, 413 when the batch is too long, 422 when the JSON is no message.
    package static func read(
        _ body: ByteBuffer,
        maximumBatch: Int
    ) throws(Problem) -> (messages: [PublishRequest], isBatch: Bool) {
        let isBatch = body.readableBytesView.first { $0 > UInt8(ascii: " ") } == UInt8(ascii: "[")
        let envelopes: [PublishEnvelope]
        do {
            envelopes =
                isBatch
                ? try JSON.decode([PublishEnvelope].self, from: body)
                : [try JSON.decode(PublishEnvelope.self, from: body)]
        } catch {
            throw Problem(decoding: error)
        }
        guard envelopes.count <= maximumBatch else {
            throw Problem(.contentTooLarge, .quotaExceeded, "a batch has at most \(maximumBatch) messages")
        }
        guard !envelopes.isEmpty else { throw .unprocessable("the batch is empty", .malformedPacket) }
        var messages: [PublishRequest] = []
        for (place, envelope) in envelopes.enumerated() {
            do throws(Problem) {
                messages.append(try envelope.request())
            } catch {
                throw isBatch ? Problem(error.status, error.reasonCode, "message \(place): \(error.detail)") : error
            }
        }
        return (messages, isBatch)
    }

    func request() throws(Problem) -> PublishRequest {
        guard let qos = QoS(rawValue: UInt8(clamping: qos ?? 0)), self.qos ?? 0 >= 0 else {
            throw .unprocessable("qos must be 0, 1 or 2", .qosNotSupported)
        }
        let topic = try TopicPath.name(topic)
        var properties = try properties?.publishProperties() ?? PublishProperties()
        let bytes = try Self.bytes(payload, encoding, "payload")
        if properties.payloadFormatIndicator == true, !bytes.isUTF8 {
            throw .unprocessable("the payload is not the UTF-8 that payload_format_indicator promises")
        }
        if properties.payloadFormatIndicator == false { properties.payloadFormatIndicator = nil }
        try properties.check()
        return PublishRequest(
            topic: topic,
            payload: bytes,
            qos: qos,
            retain: retain ?? false,
            properties: properties.isEmpty ? nil : properties
        )
    }

    static func bytes(_ text: String, _ encoding: PayloadEncoding?, _ name: String) throws(Problem) -> ByteBuffer {
        guard encoding == .base64 else { return ByteBuffer(string: text) }
        guard let data = Data(base64Encoded: text) else { throw .unprocessable("\(name) is not base64") }
        return ByteBuffer(bytes: data)
    }
}

extension PropertiesJSON {
    /// - Throws: 422 when a value is none MQTT allows.
    func publishProperties() throws(Problem) -> PublishProperties {
        var properties = PublishProperties()
        switch payloadFormatIndicator {
        case nil: break
        case 0: properties.payloadFormatIndicator = false
        case 1: properties.payloadFormatIndicator = true
        default: throw .unprocessable("payload_format_indicator must be 0 or 1", .malformedPacket)
        }
        if let messageExpiryInterval {
            guard let seconds = UInt32(exactly: messageExpiryInterval) else {
                throw .unprocessable("message_expiry_interval must be 0 to 4294967295", .malformedPacket)
            }
            properties.messageExpiryInterval = seconds
        }
        if let responseTopic { properties.responseTopic = try TopicPath.name(responseTopic).string }
        if let correlationData {
            properties.correlationData = try PublishEnvelope.bytes(
                correlationData,
                correlationDataEncoding,
                "correlation_data"
            )
        }
        properties.contentType = contentType
        properties.userProperties = userProperties?.properties ?? []
        return properties
    }
}

extension Problem {
    /// JSON that could not be read as what it should be.
    init(decoding error: any Error) {
        guard let error = error as? DecodingError else {
            self = .badRequest("the body is not JSON")
            return
        }
        switch error {
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            self = .badRequest("the body is not JSON")
        case .dataCorrupted(let context), .typeMismatch(_, let context), .valueNotFound(_, let context):
            self = .unprocessable("\(Self.path(context.codingPath)): \(context.debugDescription)", .malformedPacket)
        case .keyNotFound(let key, let context):
            self = .unprocessable("\(Self.path(context.codingPath + [key])) is missing", .malformedPacket)
        @unknown default:
            self = .unprocessable("the JSON is no message", .malformedPacket)
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        let path = keys.map { key in key.intValue.map { "[\($0)]" } ?? key.stringValue }.joined(separator: ".")
        return path.isEmpty ? "the JSON" : path
    }
}
