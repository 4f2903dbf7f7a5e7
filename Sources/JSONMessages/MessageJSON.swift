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
        if let users = properties?.userProperties, !users.isEmpty { writeUsers(users, to: &buffer) }
        guard buffer.writerIndex > brace else { return buffer.moveWriterIndex(to: start) }
        buffer.setInteger(UInt8(ascii: "{"), at: brace)
        buffer.writeStaticString("}")
    }

    /// An object, in the order of the names; one that is given more than once has an array.
    private static func writeUsers(_ properties: UserProperties, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(",\"user_properties\":{")
        let named = properties.map { (name: ExactText($0.name), value: $0.value) }
        // Sorting is stable: values stay in the order in which they came.
        let sorted = named.sorted { $0.name < $1.name }
        var place = sorted.startIndex
        while place < sorted.endIndex {
            let name = sorted[place].name
            var end = place + 1
            while end < sorted.endIndex, sorted[end].name == name { end += 1 }
            if place > sorted.startIndex { buffer.writeStaticString(",") }
            buffer.writeJSON(name.string)
            buffer.writeStaticString(end - place > 1 ? ":[" : ":")
            for same in place..<end {
                if same > place { buffer.writeStaticString(",") }
                buffer.writeJSON(sorted[same].value)
            }
            if end - place > 1 { buffer.writeStaticString("]") }
            place = end
        }
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

    /// A JSON string (RFC 8259 §7).
    package mutating func writeJSON(_ text: String) { writeJSON(text.utf8Span.span.bytes) }

    /// A JSON string of UTF-8.
    fileprivate mutating func writeJSON(_ text: RawSpan) {
        writeStaticString("\"")
        text.withUnsafeBytes { bytes in
            var start = 0
            for place in bytes.indices {
                let byte = bytes[place]
                guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
                writeBytes(bytes[start..<place])
                writeEscaped(byte)
                start = place + 1
            }
            writeBytes(bytes[start...])
        }
        writeStaticString("\"")
    }

    private mutating func writeEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): writeStaticString("\\\"")
        case UInt8(ascii: "\\"): writeStaticString("\\\\")
        case 0x08: writeStaticString("\\b")
        case 0x09: writeStaticString("\\t")
        case 0x0a: writeStaticString("\\n")
        case 0x0c: writeStaticString("\\f")
        case 0x0d: writeStaticString("\\r")
        default: writeString((byte < 0x10 ? "\\u000" : "\\u00") + String(byte, radix: 16))
        }
    }
}
