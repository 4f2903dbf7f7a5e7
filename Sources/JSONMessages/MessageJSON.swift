package import BrokerCore
import FoundationEssentials
import MQTTCodec
package import NIOCore

/// A message on its way to a client, as JSON.
package struct MessageJSON: Encodable {
    let id: String?
    let topic: String
    /// Text, or base64 when it is no UTF-8.
    let payload: String
    let payloadEncoding: PayloadEncoding?
    let qos: UInt8
    let retain: Bool
    /// Said only when it is so.
    let dup: Bool?
    let properties: PropertiesJSON?

    enum CodingKeys: String, CodingKey {
        case id
        case topic
        case payload
        case payloadEncoding = "payload_encoding"
        case qos
        case retain
        case dup
        case properties
    }

    /// - Parameter id: left out when it stands elsewhere.
    package init(_ delivery: Delivery, id: EventID? = nil, at now: NIODeadline) {
        self.init(delivery, name: id?.description, at: now)
    }

    /// - Parameter name: its `id`.
    package init(_ delivery: Delivery, name: String?, at now: NIODeadline) {
        let message = delivery.message
        id = name
        topic = message.topic.string
        (payload, payloadEncoding) = message.withBytes { _, payload in
            payload.withUnsafeBytes { bytes in
                if let text = String(validating: bytes, as: UTF8.self) { return (text, nil) }
                return (Data(bytes).base64EncodedString(), .base64)
            }
        }
        qos = delivery.qos.rawValue
        retain = delivery.retain
        dup = delivery.dup ? true : nil
        properties = PropertiesJSON(
            message.properties?.values,
            remainingExpiryInterval: message.remainingExpiryInterval(at: now)
        )
    }
}
