import NIOCore

/// A User Property; order and repetition mean something, so they stay a list (MQTT 5.0 §3.3.2.3.7).
package struct UserProperty: Hashable, Sendable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// The User Properties of a packet, in order.
///
/// They stay encoded until somebody reads them: a packet may carry two hundred thousand, and most go on as they came.
package struct UserProperties: Hashable, Sendable {
    /// Each with its identifier, well-formed.
    let encoded: ByteBuffer
    package let count: Int

    package init() { self.init(encoded: ByteBuffer(), count: 0) }

    private init(encoded: ByteBuffer, count: Int) {
        self.encoded = encoded
        self.count = count
    }

    /// - Parameter properties: names and values of at most 65,535 bytes, without U+0000.
    package init(_ properties: some Sequence<UserProperty>) {
        var encoded = ByteBuffer()
        var count = 0
        for property in properties {
            encoded.writeInteger(PropertyIdentifier.userProperty.rawValue)
            encoded.writeMQTTString(property.name)
            encoded.writeMQTTString(property.value)
            count += 1
        }
        self.init(encoded: encoded, count: count)
    }

    package var isEmpty: Bool { count == 0 }
    /// Bytes as on the wire.
    package var byteCount: Int { encoded.readableBytes }

    /// These, and those behind them.
    package func appending(_ others: UserProperties) -> UserProperties {
        guard !isEmpty else { return others }
        var joined = encoded
        joined.writeImmutableBuffer(others.encoded)
        return UserProperties(encoded: joined, count: count + others.count)
    }
}

extension UserProperties: Sequence {
    package struct Iterator: IteratorProtocol {
        fileprivate var rest: ByteBuffer

        package mutating func next() -> UserProperty? {
            guard rest.readInteger(as: UInt8.self) != nil,
                let name = rest.readLengthPrefixedSlice(as: UInt16.self),
                let value = rest.readLengthPrefixedSlice(as: UInt16.self)
            else { return nil }
            return UserProperty(String(buffer: name), String(buffer: value))
        }
    }

    package func makeIterator() -> Iterator { Iterator(rest: encoded) }
    package var underestimatedCount: Int { count }
}

extension UserProperties: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: UserProperty...) { self.init(elements) }
}

extension UserProperties {
    /// Reads those that follow one another, up to the first property that is another.
    ///
    /// Their memory is their own: they may be kept for long.
    init(readingFrom buffer: inout ByteBuffer) throws(MalformedPacket) {
        let (end, count) = try Self.run(buffer.readableBytesSpan)
        guard let slice = buffer.readSlice(length: end) else { throw PacketReader.short }
        self.init(encoded: slice.ofItsOwn, count: count)
    }

    /// Where they end, and how many they are.
    private static func run(_ bytes: RawSpan) throws(MalformedPacket) -> (end: Int, count: Int) {
        var end = 0
        var count = 0
        while end < bytes.byteCount,
            bytes.unsafeLoad(fromByteOffset: end, as: UInt8.self) == PropertyIdentifier.userProperty.rawValue
        {
            end = try endOfString(bytes, at: endOfString(bytes, at: end + 1))
            count += 1
        }
        return (end, count)
    }

    private static func endOfString(_ bytes: RawSpan, at start: Int) throws(MalformedPacket) -> Int {
        guard start + 2 <= bytes.byteCount else { throw PacketReader.short }
        let length = Int(bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt16.self).bigEndian)
        let end = start + 2 + length
        guard end <= bytes.byteCount else { throw PacketReader.short }
        guard UTF8Text.isValid(bytes.extracting(start + 2..<end)) else { throw UTF8Text.malformed }
        return end
    }
}
