import BrokerCore
import HTTPServer
import HTTPTypes
package import MQTTCodec
import NIOCore

/// User Properties as fields of a header: `X-MQTT-User-Property: unit=C`, one for each.
///
/// A field's value is ASCII, and what clients send beyond it is ISO-8859-1 as often as UTF-8 (RFC 9110 §5.5). So what has more
/// is written as RFC 9651 §3.3.8 writes text for people, `room=%"K%c3%bcche"`; UTF-8 is taken as it is.
package enum UserPropertyField {
    /// Fields of one answer, and their bytes: clients and proxies in between give up on longer headers, Python at 100 fields,
    /// nginx at 4 kB.
    package static let maximumCount = 50
    package static let maximumBytes = 2_048

    /// - Throws: 400 when it is none.
    package static func read(_ value: String) throws(Problem) -> UserProperty {
        guard !value.isRepaired else {
            throw .badRequest(
                "\(PublishOptions.userPropertyField) is not UTF-8: beyond ASCII, write name=%\"K%c3%bcche\", or use the JSON of "
                    + "/publish"
            )
        }
        var rest = value.trimmed[...]
        let name = quoted(&rest) ?? unquoted(&rest)
        guard rest.trimmed.begins(with: "=") else {
            throw .badRequest("\(PublishOptions.userPropertyField) must be key=value")
        }
        rest = Substring(rest.trimmed.utf8.dropFirst()).trimmed[...]
        let text = rest.trimmed
        if let decoded = quoted(&rest), rest.isEmpty { return UserProperty(name, decoded) }
        return UserProperty(name, text)
    }

    package static func write(_ property: UserProperty) -> String {
        "\(written(property.name, isName: true))=\(written(property.value, isName: false))"
    }

    private static func unquoted(_ rest: inout Substring) -> String {
        let end = rest.utf8.firstIndex(of: UInt8(ascii: "=")) ?? rest.endIndex
        defer { rest = rest[end...] }
        return rest[..<end].trimmed
    }

    /// A Display String that stands at the beginning; nil, and nothing is taken, when there is none.
    private static func quoted(_ rest: inout Substring) -> String? {
        guard rest.begins(with: "%\"") else { return nil }
        let (text, behind) = Substring(rest.utf8.dropFirst(2)).parted(at: UInt8(ascii: "\""))
        guard let behind,
            let decoded = PercentEncoding.decode(text).flatMap({ String(validating: $0, as: UTF8.self) })
        else { return nil }
        rest = behind
        return decoded
    }

    private static func written(_ text: String, isName: Bool) -> String {
        let isPlain =
            text.utf8.allSatisfy { (0x20..<0x7f).contains($0) && !(isName && $0 == UInt8(ascii: "=")) }
            && !text.begins(with: "%\"") && text.utf8.first != 0x20 && text.utf8.last != 0x20
        guard !isPlain else { return text }
        var written = "%\""
        for byte in text.utf8 {
            if (0x20..<0x7f).contains(byte), byte != UInt8(ascii: "%"), byte != UInt8(ascii: "\"") {
                written.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                written += "%" + (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return written + "\""
    }
}

extension HTTPFields {
    /// One field for each User Property, as far as they find room; the number of all when some don't.
    mutating func append(userPropertiesOf message: Message) {
        guard let name = HTTPField.Name.userProperty else { return }
        let properties = message.properties?.values.userProperties ?? []
        var bytes = 0
        var count = 0
        for property in properties.prefix(UserPropertyField.maximumCount) {
            // Of a long one not more than it takes to see that it is too long.
            guard property.name.utf8.count + property.value.utf8.count <= UserPropertyField.maximumBytes else { break }
            let value = UserPropertyField.write(property)
            bytes += PublishOptions.userPropertyField.utf8.count + value.utf8.count + 4
            guard bytes <= UserPropertyField.maximumBytes else { break }
            append(HTTPField(name: name, value: value))
            count += 1
        }
        guard count < properties.count, let all = HTTPField.Name.userPropertyCount else { return }
        self[all] = "\(properties.count)"
    }

    /// Refuses fields of ours that we don't know.
    ///
    /// - Throws: 400.
    func checkMQTTFields() throws(Problem) {
        for field in self
        where field.name.canonicalName.begins(with: "x-mqtt-") && field.name != HTTPField.Name.userProperty {
            throw .badRequest(
                "\(field.name.rawName.prefix(64)): unknown field; \(PublishOptions.userPropertyField) is the only one, and qos, "
                    + "retain and others are parameters of the query"
            )
        }
    }
}

extension Message {
    /// Bytes of a Content Type that goes into a header: clients publish what they like.
    private static let maximumContentType = 255

    /// As a header field has it: the Content Type, or what the Payload Format Indicator says.
    var contentType: String {
        if let contentType = properties?.values.contentType, !contentType.isEmpty,
            contentType.utf8.count <= Self.maximumContentType,
            contentType.utf8.allSatisfy({ (0x20..<0x7f).contains($0) })
        {
            return contentType
        }
        let isText = properties?.values.payloadFormatIndicator ?? false
        return isText ? "text/plain; charset=utf-8" : "application/octet-stream"
    }
}
