/// Reads the fields of keys and values; every read checks that the bytes are there.
///
/// Lives no longer than the bytes it is given.
struct RecordReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Bytes not read yet.
    var remaining: Int { bytes.count - position }

    mutating func byte() throws(RecordProblem) -> UInt8 { try fixed(UInt8.self) }

    /// As many bytes as the type has, big-endian.
    mutating func fixed<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type
    ) throws(RecordProblem) -> Number {
        guard remaining >= MemoryLayout<Number>.size else { throw .damaged("it ends inside a field") }
        let value = bytes.loadUnaligned(fromByteOffset: position, as: Number.self)
        position += MemoryLayout<Number>.size
        return Number(bigEndian: value)
    }

    /// Seven bits a byte, the lowest first.
    mutating func compact() throws(RecordProblem) -> UInt64 {
        var value: UInt64 = 0
        for place: UInt64 in 0..<10 {
            let byte = try byte()
            let bits = UInt64(byte & 0x7f)
            guard place < 9 || bits <= 1 else { break }
            value |= bits << (7 * place)
            if byte & 0x80 == 0 { return value }
        }
        throw .damaged("a number is longer than 64 bits")
    }

    /// A compact number of 32 bits.
    mutating func compact32() throws(RecordProblem) -> UInt32 {
        guard let value = UInt32(exactly: try compact()) else { throw .damaged("a number is longer than 32 bits") }
        return value
    }

    /// That many bytes.
    mutating func bytes(_ count: Int) throws(RecordProblem) -> UnsafeRawBufferPointer {
        guard count <= remaining else { throw .damaged("it ends inside a field") }
        let part = UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)])
        position += count
        return part
    }

    /// Bytes with their number before them.
    mutating func sized() throws(RecordProblem) -> UnsafeRawBufferPointer {
        guard let count = Int(exactly: try compact()) else { throw .damaged("it ends inside a field") }
        return try bytes(count)
    }

    /// UTF-8 with its length before it.
    mutating func sizedText() throws(RecordProblem) -> String { try Self.text(try sized()) }

    /// Everything up to the end.
    mutating func rest() -> UnsafeRawBufferPointer {
        let part = UnsafeRawBufferPointer(rebasing: bytes[position...])
        position = bytes.count
        return part
    }

    /// Everything up to the end, as text.
    mutating func restText() throws(RecordProblem) -> String { try Self.text(rest()) }

    func expectEnd() throws(RecordProblem) {
        guard remaining == 0 else { throw .damaged("\(remaining) bytes too many") }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) throws(RecordProblem) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .damaged("text that is not UTF-8") }
        return text
    }
}
