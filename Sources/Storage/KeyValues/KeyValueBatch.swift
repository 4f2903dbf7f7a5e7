/// Changes to a key-value store, made all together, in their order.
///
/// All keys and values lie in one piece of memory, which is used again for the next batch.
package final class KeyValueBatch {
    private struct Change {
        let key: Range<Int>
        /// nil removes the key.
        let value: Range<Int>?
    }

    /// What is kept for the next batch, bytes; a larger one was an exception.
    private static let keptCapacity = 4_194_304

    @exclusivity(unchecked) private var changes: ContiguousArray<Change> = []
    @exclusivity(unchecked) private var bytes = RecordWriter()

    package init() {}

    package var isEmpty: Bool { changes.isEmpty }
    /// How many changes there are.
    package var count: Int { changes.count }
    /// Bytes of all keys and values.
    package var byteCount: Int { bytes.count }

    /// Forgets all changes.
    package func removeAll() {
        changes.removeAll(keepingCapacity: changes.capacity <= Self.keptCapacity / 64)
        bytes.removeAll(keepingCapacityUpTo: Self.keptCapacity)
    }

    /// Adds or replaces a value.
    package func put(_ key: [UInt8], _ value: [UInt8]) {
        put {
            $0.bytes(key.span.bytes)
        } value: {
            $0.bytes(value.span.bytes)
        }
    }

    /// Removes a key, if it is there.
    package func remove(_ key: [UInt8]) {
        remove { $0.bytes(key.span.bytes) }
    }

    /// Adds or replaces a value; key and value are written in place.
    @inline(__always)
    func put(key: (inout RecordWriter) -> Void, value: (inout RecordWriter) -> Void) {
        let start = bytes.count
        key(&bytes)
        let middle = bytes.count
        value(&bytes)
        changes.append(Change(key: start..<middle, value: middle..<bytes.count))
    }

    /// Removes a key, which is written in place.
    @inline(__always)
    func remove(key: (inout RecordWriter) -> Void) {
        let start = bytes.count
        key(&bytes)
        changes.append(Change(key: start..<bytes.count, value: nil))
    }

    /// All changes in their order; a value is nil when its key is removed.
    @inline(__always)
    package func forEach(_ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) -> Void) {
        bytes.withBytes { all in
            for change in changes {
                body(
                    UnsafeRawBufferPointer(rebasing: all[change.key]),
                    change.value.map { UnsafeRawBufferPointer(rebasing: all[$0]) }
                )
            }
        }
    }
}
