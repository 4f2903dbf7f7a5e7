package import MQTTCodec

/// CoAP Content-Formats and the MQTT 5 properties that say the same (RFC 7252 §12.3, MQTT 5.0 §3.3.2.3.2, .9).
package enum ContentFormat {
    struct Entry {
        let number: UInt16
        let contentType: String
        /// The payload is UTF-8 text by definition.
        let isText: Bool
    }

    /// What the IANA registry has for payloads devices send.
    static let entries: [Entry] = [
        Entry(number: 0, contentType: "text/plain;charset=utf-8", isText: true),
        Entry(number: 16, contentType: "application/cose; cose-type=\"cose-encrypt0\"", isText: false),
        Entry(number: 17, contentType: "application/cose; cose-type=\"cose-mac0\"", isText: false),
        Entry(number: 18, contentType: "application/cose; cose-type=\"cose-sign1\"", isText: false),
        Entry(number: 21, contentType: "image/gif", isText: false),
        Entry(number: 22, contentType: "image/jpeg", isText: false),
        Entry(number: 23, contentType: "image/png", isText: false),
        Entry(number: 40, contentType: "application/link-format", isText: true),
        Entry(number: 41, contentType: "application/xml", isText: false),
        Entry(number: 42, contentType: "application/octet-stream", isText: false),
        Entry(number: 47, contentType: "application/exi", isText: false),
        Entry(number: 50, contentType: "application/json", isText: true),
        Entry(number: 51, contentType: "application/json-patch+json", isText: true),
        Entry(number: 52, contentType: "application/merge-patch+json", isText: true),
        Entry(number: 60, contentType: "application/cbor", isText: false),
        Entry(number: 61, contentType: "application/cwt", isText: false),
        Entry(number: 62, contentType: "application/multipart-core", isText: false),
        Entry(number: 63, contentType: "application/cbor-seq", isText: false),
        Entry(number: 96, contentType: "application/cose; cose-type=\"cose-encrypt\"", isText: false),
        Entry(number: 97, contentType: "application/cose; cose-type=\"cose-mac\"", isText: false),
        Entry(number: 98, contentType: "application/cose; cose-type=\"cose-sign\"", isText: false),
        Entry(number: 101, contentType: "application/cose-key", isText: false),
        Entry(number: 102, contentType: "application/cose-key-set", isText: false),
        Entry(number: 110, contentType: "application/senml+json", isText: true),
        Entry(number: 111, contentType: "application/sensml+json", isText: true),
        Entry(number: 112, contentType: "application/senml+cbor", isText: false),
        Entry(number: 113, contentType: "application/sensml+cbor", isText: false),
        Entry(number: 114, contentType: "application/senml-exi", isText: false),
        Entry(number: 115, contentType: "application/sensml-exi", isText: false),
        Entry(number: 310, contentType: "application/senml+xml", isText: false),
        Entry(number: 311, contentType: "application/sensml+xml", isText: false),
        Entry(number: 432, contentType: "application/td+json", isText: true),
        Entry(number: 433, contentType: "application/tm+json", isText: true),
        Entry(number: 10000, contentType: "application/vnd.ocf+cbor", isText: false),
        Entry(number: 11542, contentType: "application/vnd.oma.lwm2m+tlv", isText: false),
        Entry(number: 11543, contentType: "application/vnd.oma.lwm2m+json", isText: true),
        Entry(number: 11544, contentType: "application/vnd.oma.lwm2m+cbor", isText: false),
    ]

    /// What the content type of a number without a name begins with.
    private static let nameless = "application/octet-stream;coap-content-format="
    /// Bytes of a content type that may be one of these.
    private static let longest = 128

    private static let byNumber = Dictionary(uniqueKeysWithValues: entries.map { ($0.number, $0) })
    private static let byContentType = Dictionary(
        uniqueKeysWithValues: entries.map { (normalized($0.contentType), $0.number) }
            + [("text/plain", 0), ("application/json;charset=utf-8", 50)]
    )

    /// Puts a Content-Format into a PUBLISH's properties.
    ///
    /// A broker does not judge what it carries: one without a name here keeps its number as a parameter.
    package static func describe(_ number: UInt16, in properties: inout PublishProperties) {
        guard let entry = byNumber[number] else {
            properties.contentType = nameless + String(number)
            return
        }
        properties.contentType = entry.contentType
        if entry.isText { properties.payloadFormatIndicator = true }
    }

    /// The Content-Format of a message; nil when its properties say nothing that CoAP has a number for.
    package static func number(of properties: PublishProperties?) -> UInt16? {
        guard let properties else { return nil }
        if let contentType = properties.contentType {
            guard contentType.utf8.count <= longest else { return nil }
            let name = normalized(contentType)
            return byContentType[name]
                ?? (name.begins(with: nameless) ? UInt16(name.dropFirst(nameless.utf8.count)) : nil)
        }
        return properties.payloadFormatIndicator == true ? 0 : nil
    }

    /// Media types are compared without regard to case and to spaces around their parameters (RFC 9110 §8.3.1).
    private static func normalized(_ contentType: String) -> String {
        let left = contentType.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\"") }
        return String(decoding: left, as: UTF8.self).lowercased()
    }
}
