/// How bytes are a string.
package enum PayloadEncoding: String, Decodable, Sendable {
    /// They are its UTF-8.
    case plain
    case base64
}

/// The MQTT 5 properties of a message, as clients write them.
package struct PropertiesJSON: Decodable, Sendable {
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
}
