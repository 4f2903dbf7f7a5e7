import FoundationEssentials
import NIOCore

/// JSON as the gateway writes it: one line, keys in a fixed order.
enum JSON {
    static func encode(_ value: some Encodable) -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only a number that is not finite can fail, and nothing that is encoded here has one.
        guard let bytes = try? encoder.encode(value) else { return ByteBuffer(string: "null") }
        return ByteBuffer(bytes: bytes)
    }

    /// - Throws: `DecodingError`.
    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: ByteBuffer) throws -> Value {
        try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    }
}
