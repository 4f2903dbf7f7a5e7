import FoundationEssentials
package import NIOCore

/// JSON as the adapters write it: one line, keys in a fixed order.
package enum JSON {
    package static func encode(_ value: some Encodable) -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only a number that is not finite can fail, and nothing that is encoded here has one.
        guard let bytes = try? encoder.encode(value) else { return ByteBuffer(string: "null") }
        return ByteBuffer(bytes: bytes)
    }

    /// - Parameters:
    ///   - key: of `information`, which the value is read by.
    /// - Throws: `DecodingError`.
    package static func decode<Value: Decodable>(
        _ type: Value.Type,
        from bytes: ByteBuffer,
        _ key: CodingUserInfoKey? = nil,
        _ information: (any Sendable)? = nil
    ) throws -> Value {
        let decoder = JSONDecoder()
        if let key { decoder.userInfo[key] = information }
        return try decoder.decode(type, from: Data(bytes.readableBytesView))
    }
}

extension ByteBuffer {
    /// Whether the readable bytes are UTF-8.
    package var isUTF8: Bool {
        withUnsafeReadableBytes { bytes in
            (try? UTF8Span(validating: Span<UInt8>(_unsafeBytes: bytes))) != nil
        }
    }
}
