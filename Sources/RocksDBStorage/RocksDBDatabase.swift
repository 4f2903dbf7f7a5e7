import CRocksDB

/// An open RocksDB database; closed when nobody holds it any more.
final class RocksDBDatabase {
    let pointer: OpaquePointer
    /// Of the one column family there is.
    let columnFamily: OpaquePointer
    let isReadOnly: Bool
    private let options: RocksDBOptions

    private static let columnFamilyName = "default"

    /// - Parameter readOnly: takes no lock, and leaves the database as it is.
    init(_ path: String, readOnly: Bool) throws(RocksDBStatus) {
        let options = try RocksDBOptions()
        var columnFamily: OpaquePointer?
        let pointer = try RocksDBStatus.check { error in
            Self.columnFamilyName.withCString { name in
                var names: UnsafePointer<CChar>? = name
                var familyOptions: OpaquePointer? = options.pointer
                return readOnly
                    ? rocksdb_open_for_read_only_column_families(
                        options.pointer,
                        path,
                        1,
                        &names,
                        &familyOptions,
                        &columnFamily,
                        0,
                        error
                    )
                    : rocksdb_open_column_families(
                        options.pointer,
                        path,
                        1,
                        &names,
                        &familyOptions,
                        &columnFamily,
                        error
                    )
            }
        }
        guard let pointer, let columnFamily else { throw RocksDBStatus(text: "no database") }
        self.options = options
        self.pointer = pointer
        self.columnFamily = columnFamily
        isReadOnly = readOnly
    }

    deinit {
        rocksdb_column_family_handle_destroy(columnFamily)
        rocksdb_close(pointer)
    }

    /// Looks keys up all at once.
    func read(_ keys: [[UInt8]], _ take: (Int, UnsafeRawBufferPointer?) -> Void) throws(RocksDBStatus) {
        guard !keys.isEmpty else { return }
        let options = rocksdb_readoptions_create()
        defer { rocksdb_readoptions_destroy(options) }
        var values = [OpaquePointer?](repeating: nil, count: keys.count)
        var errors = [UnsafeMutablePointer<CChar>?](repeating: nil, count: keys.count)
        let joined = keys.flatMap { $0 }
        joined.withUnsafeBytes { bytes in
            var start = 0
            let starts: [UnsafePointer<CChar>?] = keys.map { key in
                defer { start += key.count }
                return bytes.baseAddress.map { ($0 + start).assumingMemoryBound(to: CChar.self) }
            }
            rocksdb_batched_multi_get_cf(
                pointer,
                options,
                columnFamily,
                keys.count,
                starts,
                keys.map(\.count),
                &values,
                &errors,
                false
            )
        }
        defer { for value in values { if let value { rocksdb_pinnableslice_destroy(value) } } }
        var failed: RocksDBStatus?
        for case let message? in errors { failed = RocksDBStatus(taking: message) }
        if let failed { throw failed }
        for (index, value) in values.enumerated() {
            guard let value else {
                take(index, nil)
                continue
            }
            var count = 0
            let bytes = rocksdb_pinnableslice_value(value, &count)
            take(index, UnsafeRawBufferPointer(start: bytes, count: count))
        }
    }

    /// Goes through keys in ascending order.
    ///
    /// - Parameter isLarge: whether most of the database is looked at once: what is read then need not be remembered.
    func scan(
        prefix: [UInt8],
        isLarge: Bool,
        _ take: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(RocksDBStatus) {
        let options = rocksdb_readoptions_create()
        defer { rocksdb_readoptions_destroy(options) }
        if isLarge {
            rocksdb_readoptions_set_fill_cache(options, 0)
            rocksdb_readoptions_set_readahead_size(options, Self.readahead)
        }
        let end = Self.end(of: prefix)
        let failed = end.withUnsafeBytes { end -> RocksDBStatus? in
            if let bound = end.baseAddress, !end.isEmpty {
                rocksdb_readoptions_set_iterate_upper_bound(
                    options,
                    bound.assumingMemoryBound(to: CChar.self),
                    end.count
                )
            }
            return iterate(from: prefix, options, take)
        }
        if let failed { throw failed }
    }

    private func iterate(
        from start: [UInt8],
        _ options: OpaquePointer?,
        _ take: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) -> RocksDBStatus? {
        let iterator = rocksdb_create_iterator(pointer, options)
        defer { rocksdb_iter_destroy(iterator) }
        start.withUnsafeBytes { start in
            rocksdb_iter_seek(iterator, start.baseAddress?.assumingMemoryBound(to: CChar.self), start.count)
        }
        while rocksdb_iter_valid(iterator) != 0 {
            var keyCount = 0
            var valueCount = 0
            let key = rocksdb_iter_key(iterator, &keyCount)
            let value = rocksdb_iter_value(iterator, &valueCount)
            let wantsMore = take(
                UnsafeRawBufferPointer(start: key, count: keyCount),
                UnsafeRawBufferPointer(start: value, count: valueCount)
            )
            guard wantsMore else { return nil }
            rocksdb_iter_next(iterator)
        }
        do throws(RocksDBStatus) {
            try RocksDBStatus.check { rocksdb_iter_get_error(iterator, $0) }
            return nil
        } catch {
            return error
        }
    }

    /// Bytes read ahead in a large scan.
    private static let readahead = 1_048_576

    /// The first key after all that have a prefix; empty when there is none.
    private static func end(of prefix: [UInt8]) -> [UInt8] {
        var end = prefix
        while let last = end.popLast() {
            guard last == .max else { return end + [last + 1] }
        }
        return []
    }
}
