/// Appends the fields of keys and values to memory of its own; numbers are big-endian, so that they sort.
struct RecordWriter: ~Copyable {
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0

    private static let firstCapacity = 4_096

    init() {
        capacity = Self.firstCapacity
        memory = .allocate(byteCount: Self.firstCapacity, alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Forgets what was written, and memory beyond that many bytes.
    mutating func removeAll(keepingCapacityUpTo limit: Int) {
        count = 0
        guard capacity > limit else { return }
        memory.deallocate()
        capacity = Self.firstCapacity
        memory = .allocate(byteCount: capacity, alignment: 16)
    }

    /// Lends what was written.
    @inline(__always)
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
        body(UnsafeRawBufferPointer(start: memory, count: count))
    }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        reserve(1)
        memory.storeBytes(of: value, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    /// As many bytes as the type has.
    @inline(__always)
    mutating func fixed<Number: FixedWidthInteger & BitwiseCopyable>(_ value: Number) {
        reserve(MemoryLayout<Number>.size)
        memory.storeBytes(of: value.bigEndian, toByteOffset: count, as: Number.self)
        count &+= MemoryLayout<Number>.size
    }

    /// Seven bits a byte, the lowest first, the high bit set on all bytes but the last.
    @inline(__always)
    mutating func compact(_ value: UInt64) {
        reserve(10)
        var left = value
        while left >= 0x80 {
            memory.storeBytes(of: UInt8(truncatingIfNeeded: left) | 0x80, toByteOffset: count, as: UInt8.self)
            count &+= 1
            left >>= 7
        }
        memory.storeBytes(of: UInt8(truncatingIfNeeded: left), toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    @inline(__always)
    mutating func bytes(_ source: RawSpan) {
        source.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            reserve(source.count)
            (memory + count).copyMemory(from: base, byteCount: source.count)
            count &+= source.count
        }
    }

    /// The bytes with their number before them.
    @inline(__always)
    mutating func sized(_ source: RawSpan) {
        compact(UInt64(source.byteCount))
        bytes(source)
    }

    /// The UTF-8 without its length.
    mutating func text(_ source: String) { bytes(source.utf8Span.span.bytes) }

    /// The UTF-8 with its length before it.
    mutating func sizedText(_ source: String) { sized(source.utf8Span.span.bytes) }

    @inline(__always)
    private mutating func reserve(_ more: Int) {
        if capacity &- count < more { grow(by: more) }
    }

    @inline(never)
    private mutating func grow(by more: Int) {
        let wanted = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
        larger.copyMemory(from: memory, byteCount: count)
        memory.deallocate()
        memory = larger
        capacity = wanted
    }
}
