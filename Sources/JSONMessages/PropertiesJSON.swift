import FoundationEssentials
package import MQTTCodec
import NIOCore

/// How bytes are a string.
package enum PayloadEncoding: String, Codable, Sendable {
    /// They are its UTF-8.
    case plain
    case base64
}

/// The MQTT 5 properties of a message, in JSON both ways.
package struct PropertiesJSON: Codable, Equatable, Sendable {
    package var payloadFormatIndicator: Int?
    package var messageExpiryInterval: Int?
    package var responseTopic: String?
    package var correlationData: String?
    package var correlationDataEncoding: PayloadEncoding?
    package var contentType: String?
    package var userProperties: UserPropertyMap?

    enum CodingKeys: String, CodingKey {
        case payloadFormatIndicator = "payload_format_indicator"
        case messageExpiryInterval = "message_expiry_interval"
        case responseTopic = "response_topic"
        case correlationData = "correlation_data"
        case correlationDataEncoding = "correlation_data_encoding"
        case contentType = "content_type"
        case userProperties = "user_properties"
    }

    private init() {}

    /// - Returns: nil when there is none.
    package init?(_ properties: PublishProperties?, remainingExpiryInterval: UInt32?) {
        self.init()
        payloadFormatIndicator = properties?.payloadFormatIndicator.map { $0 ? 1 : 0 }
        messageExpiryInterval = remainingExpiryInterval.map(Int.init)
        responseTopic = properties?.responseTopic
        if let bytes = properties?.correlationData {
            let isText = bytes.isUTF8
            correlationData =
                isText ? String(buffer: bytes) : Data(bytes.readableBytesView).base64EncodedString()
            correlationDataEncoding = isText ? nil : .base64
        }
        contentType = properties?.contentType
        if let users = properties?.userProperties, !users.isEmpty { userProperties = UserPropertyMap(users) }
        guard self != Self() else { return nil }
    }
}
