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
    /// Each with its identifier, well-formed; nil for none, since all empty buffers share one reference count.
    private let bytes: ByteBuffer?
    package let count: Int

    package init() {
        bytes = nil
        count = 0
    }

    private init(encoded: ByteBuffer, count: Int) {
        bytes = count > 0 ? encoded : nil
        self.count = count
    }

    /// Each with its identifier.
    var encoded: ByteBuffer { bytes ?? ByteBuffer() }

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
    package var byteCount: Int { bytes?.readableBytes ?? 0 }

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

extension UserProperties {
    /// Where a name and its value lie among the encoded bytes; each is UTF-8.
    package struct Place: Sendable {
        private let start: UInt32
        private let nameLength: UInt16
        private let valueLength: UInt16

        /// - Parameter start: of the name, behind its length.
        fileprivate init(at start: Int, in bytes: UnsafeRawBufferPointer) {
            func length(at offset: Int) -> UInt16 {
                UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            }
            nameLength = length(at: start - 2)
            valueLength = length(at: start + Int(nameLength))
            self.start = UInt32(start)
        }

        /// Offsets of bytes.
        package var name: Range<Int> { Int(start)..<Int(start) + Int(nameLength) }
        /// Offsets of bytes.
        package var value: Range<Int> { name.upperBound + 2..<name.upperBound + 2 + Int(valueLength) }
    }

    /// Hands over the encoded bytes and where each property lies among them, in order: for who reads very many, since no
    /// String is made.
    package func withPlaces<Result>(_ body: (UnsafeRawBufferPointer, [Place]) -> Result) -> Result {
        encoded.withUnsafeReadableBytes { bytes in
            var places: [Place] = []
            places.reserveCapacity(count)
            var end = 0
            while end < bytes.count {
                // Behind the identifier and the name's length.
                let place = Place(at: end + 3, in: bytes)
                places.append(place)
                end = place.value.upperBound
            }
            return body(bytes, places)
        }
    }
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
