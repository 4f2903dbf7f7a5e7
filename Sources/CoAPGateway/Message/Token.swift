/// What matches a response to its request: 0 to 8 bytes the client chose (RFC 7252 §5.3.1).
package struct Token: Hashable, Sendable, CustomStringConvertible {
    /// The bytes, the first one highest.
    private let value: UInt64
    /// Bytes.
    package let length: UInt8

    /// Takes up to 8 bytes; more can't be in a message that was parsed.
    package init(_ bytes: RawSpan) {
        var value: UInt64 = 0
        let count = min(bytes.byteCount, 8)
        for offset in 0..<count {
            value = value << 8 | UInt64(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
        }
        self.value = value
        length = UInt8(count)
    }

    package init(_ bytes: [UInt8]) { self.init(bytes.span.bytes) }

    /// Lends the bytes.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let aligned = length == 0 ? 0 : value << (8 * (8 - UInt64(length)))
        return withUnsafeBytes(of: aligned.bigEndian) { body(UnsafeRawBufferPointer(rebasing: $0.prefix(Int(length)))) }
    }

    package var description: String { withBytes { $0.map { String($0, radix: 16) }.joined(separator: ":") } }
}
