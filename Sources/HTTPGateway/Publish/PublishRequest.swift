import HTTPServer
package import HTTPTypes
import JSONMessages
package import MQTTCodec
package import NIOCore

/// One message to be published.
package struct PublishRequest: Sendable {
    package let topic: TopicName
    package let payload: ByteBuffer
    package let qos: QoS
    package let retain: Bool
    /// nil when it has none.
    package var properties: PublishProperties?
}

/// How a raw body is to be published, as query and header fields say.
package struct PublishOptions: Sendable {
    /// `key=value`; may be given many times.
    static let userPropertyField = "X-MQTT-User-Property"

    var qos = QoS.atMostOnce
    var retain = false
    var properties = PublishProperties()

    /// - Throws: 400 when the query or a field can't be understood.
    package init(_ query: Query, _ fields: HTTPFields) throws(Problem) {
        qos = try query.qos() ?? .atMostOnce
        retain = try query.flag("retain") ?? false
        properties.messageExpiryInterval = try query.integer("expiry", in: 0...Int(UInt32.max)).map(UInt32.init)
        if let responseTopic = try query.string("response_topic") {
            properties.responseTopic = try TopicPath.name(responseTopic).string
        }
        if let correlationData = try query.bytes("correlation_data") {
            properties.correlationData = ByteBuffer(bytes: correlationData)
        }
        var users: [UserProperty] = []
        for value in fields.values(of: .userProperty) { users.append(try UserPropertyField.read(value)) }
        properties.userProperties = try UserProperties(checking: users)
        if let contentType = fields[.contentType], !contentType.isEmpty, !MediaType(contentType).isForm {
            guard !contentType.isRepaired else {
                throw .badRequest("Content-Type is not ASCII")
            }
            properties.contentType = contentType
        }
    }

    /// Puts a body to it.
    ///
    /// - Throws: 413 or 422 when MQTT has no room for it.
    package func request(topic: TopicName, payload: ByteBuffer) throws(Problem) -> PublishRequest {
        var properties = properties
        if let contentType = properties.contentType, MediaType(contentType).isText, payload.isUTF8 {
            properties.payloadFormatIndicator = true
        }
        try properties.check()
        return PublishRequest(
            topic: topic,
            payload: payload,
            qos: qos,
            retain: retain,
            properties: properties.isEmpty ? nil : properties
        )
    }
}

extension String {
    /// - Throws: 422 when it is longer than MQTT can say, or has U+0000 (MQTT 5.0 §1.5.4).
    fileprivate func checkProperty() throws(Problem) {
        guard utf8.count <= 65_535, !utf8.contains(0) else {
            throw .unprocessable("a property is longer than 65,535 bytes or contains U+0000", .malformedPacket)
        }
    }
}

extension UserProperties {
    /// - Throws: 422 when a name or a value is nothing that MQTT can say.
    init(checking properties: [UserProperty]) throws(Problem) {
        for property in properties {
            try property.name.checkProperty()
            try property.value.checkProperty()
        }
        self.init(properties)
    }
}

extension PublishProperties {
    /// - Throws: 422 when a string or binary value is longer than MQTT can say, or has U+0000 (MQTT 5.0 §1.5.4).
    func check() throws(Problem) {
        for string in [contentType, responseTopic].compactMap(\.self) { try string.checkProperty() }
        guard correlationData?.readableBytes ?? 0 <= 65_535 else {
            throw .unprocessable("correlation_data is longer than 65,535 bytes", .malformedPacket)
        }
    }
}
