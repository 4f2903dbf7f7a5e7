package import BrokerCore
import FoundationEssentials
import MQTTCodec
package import NIOCore

/// A message on its way to a client, as JSON.
///
/// Written by hand: User Properties of a megabyte would take an encoder so long that others noticed.
package enum MessageJSON {
    /// A message's object.
    ///
    /// - Parameter name: its `id`; left out when it stands elsewhere.
    package static func write(
        _ delivery: Delivery,
        name: String?,
        at now: NIODeadline,
        to buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString("{")
        if let name {
            buffer.writeStaticString("\"id\":")
            buffer.writeJSON(name)
            buffer.writeStaticString(",")
        }
        writeMembers(of: delivery, at: now, to: &buffer)
        buffer.writeStaticString("}")
    }

    /// The members of a message's object without its braces; there is always one.
    static func writeMembers(of delivery: Delivery, at now: NIODeadline, to buffer: inout ByteBuffer) {
        let message = delivery.message
        // Said only when it is so.
        if delivery.dup { buffer.writeStaticString("\"dup\":true,") }
        message.withBytes { topic, payload in
            buffer.writeStaticString("\"payload\":")
            payload.withUnsafeBytes { bytes in
                if let text = try? UTF8Span(validating: Span<UInt8>(_unsafeBytes: bytes)) {
                    buffer.writeJSON(text.span.bytes)
                } else {
                    buffer.writeJSON(Data(bytes).base64EncodedString())
                    buffer.writeStaticString(",\"payload_encoding\":\"base64\"")
                }
            }
            writeProperties(
                message.properties?.values,
                remainingExpiryInterval: message.remainingExpiryInterval(at: now),
                to: &buffer
            )
            buffer.writeString(",\"qos\":\(delivery.qos.rawValue),\"retain\":\(delivery.retain),\"topic\":")
            buffer.writeJSON(topic)
        }
    }

    private static func writeProperties(
        _ properties: PublishProperties?,
        remainingExpiryInterval: UInt32?,
        to buffer: inout ByteBuffer
    ) {
        guard properties != nil || remainingExpiryInterval != nil else { return }
        let start = buffer.writerIndex
        buffer.writeStaticString(",\"properties\":")
        // An opening brace where the first comma stands.
        let brace = buffer.writerIndex
        if let contentType = properties?.contentType { buffer.writeMember("content_type", contentType) }
        if let bytes = properties?.correlationData {
            if bytes.isUTF8 {
                buffer.writeMember("correlation_data", String(buffer: bytes))
            } else {
                buffer.writeMember("correlation_data", Data(bytes.readableBytesView).base64EncodedString())
                buffer.writeMember("correlation_data_encoding", "base64")
            }
        }
        if let remainingExpiryInterval { buffer.writeString(",\"message_expiry_interval\":\(remainingExpiryInterval)") }
        if let indicator = properties?.payloadFormatIndicator {
            buffer.writeString(",\"payload_format_indicator\":\(indicator ? 1 : 0)")
        }
        if let responseTopic = properties?.responseTopic { buffer.writeMember("response_topic", responseTopic) }
        if let users = properties?.userProperties, !users.isEmpty { buffer.writeUserProperties(users) }
        guard buffer.writerIndex > brace else { return buffer.moveWriterIndex(to: start) }
        buffer.setInteger(UInt8(ascii: "{"), at: brace)
        buffer.writeStaticString("}")
    }
}

extension ByteBuffer {
    fileprivate mutating func writeMember(_ name: StaticString, _ value: String) {
        writeStaticString(",\"")
        writeStaticString(name)
        writeStaticString("\":")
        writeJSON(value)
    }
}
