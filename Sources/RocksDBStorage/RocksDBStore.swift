package import BrokerCore
import CRocksDB
import Glibc
package import Storage

/// Keeps keys and values in a directory, by RocksDB.
package final class RocksDBStore: KeyValueStore {
    private let path: String
    /// nil after a failure that not even reading outlasted.
    private var database: RocksDBDatabase?
    /// Whether the last write failed: RocksDB may take no more, even when there is room again.
    private var hasFailed = false
    private var isClosed = false
    private let batch: OpaquePointer
    private let synced: OpaquePointer
    private let unsynced: OpaquePointer
    /// Held while the directory is only read; nil when RocksDB holds its own.
    private let lock: DirectoryLock?

    /// Bytes that must be free before it is worth while to open the database anew: files that say what there is.
    private static let roomToOpen = 1_048_576
    /// What RocksDB's batch may keep for the next one, bytes.
    private static let keptBatch = 4_194_304

    /// Opens a directory, which is made if it is not there.
    ///
    /// - Throws: when it can't be, is in use, damaged, or another program's.
    package convenience init(path: String) throws(StoreRefused) {
        try RocksDBDirectory.prepare(path)
        try self.init(path, lock: nil)
    }

    /// Opens a directory and leaves it as it is: writes fail.
    ///
    /// - Throws: when there is no store, or it is in use or damaged.
    package convenience init(reading path: String) throws(StoreRefused) {
        try RocksDBDirectory.requireStore(path)
        try self.init(path, lock: try DirectoryLock(path))
    }

    private init(_ path: String, lock: DirectoryLock?) throws(StoreRefused) {
        do throws(RocksDBStatus) {
            database = try RocksDBDatabase(path, readOnly: lock != nil)
        } catch {
            throw error.refusal(path)
        }
        self.path = path
        self.lock = lock
        guard let batch = rocksdb_writebatch_create(), let synced = rocksdb_writeoptions_create(),
            let unsynced = rocksdb_writeoptions_create()
        else { throw StoreRefused("\(path): no memory") }
        rocksdb_writeoptions_set_sync(synced, 1)
        self.batch = batch
        self.synced = synced
        self.unsynced = unsynced
    }

    deinit {
        rocksdb_writebatch_destroy(batch)
        rocksdb_writeoptions_destroy(synced)
        rocksdb_writeoptions_destroy(unsynced)
    }

    package func write(_ changes: KeyValueBatch, synced isSynced: Bool) throws(StoreFailure) {
        guard lock == nil, !isClosed else { throw StoreFailure("not open for writing: \(path)") }
        fill(changes)
        do throws(RocksDBStatus) {
            if let database, !database.isReadOnly {
                do throws(RocksDBStatus) {
                    return try write(to: database, isSynced)
                } catch {
                    // RocksDB may find by itself that there is room again; when it has failed twice, it won't.
                    guard hasFailed else { throw error }
                    try requireRoom(for: changes, error)
                }
            } else {
                try requireRoom(for: changes, RocksDBStatus(text: "No space left on device"))
            }
            try write(to: try reopen(), isSynced)
        } catch {
            hasFailed = true
            throw error.failure(path)
        }
    }

    package func read(
        _ keys: [[UInt8]],
        _ take: (Int, UnsafeRawBufferPointer?) -> Void
    ) throws(StoreFailure) {
        let database = try opened()
        do throws(RocksDBStatus) {
            try database.read(keys, take)
        } catch {
            throw error.failure(path)
        }
    }

    package func scan(
        prefix: [UInt8],
        _ take: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreFailure) {
        let database = try opened()
        do throws(RocksDBStatus) {
            try database.scan(prefix: prefix, isLarge: prefix.count <= 1, take)
        } catch {
            throw error.failure(path)
        }
    }

    package var name: String { path }

    package var bytesOnDisk: Int? { RocksDBDirectory.bytes(in: path) }

    package func close() {
        database = nil
        isClosed = true
    }

    private func fill(_ changes: KeyValueBatch) {
        rocksdb_writebatch_clear(batch)
        changes.forEach { key, value in
            let keyBytes = key.baseAddress?.assumingMemoryBound(to: CChar.self)
            if let value {
                let valueBytes = value.baseAddress?.assumingMemoryBound(to: CChar.self)
                rocksdb_writebatch_put(batch, keyBytes, key.count, valueBytes, value.count)
            } else {
                rocksdb_writebatch_delete(batch, keyBytes, key.count)
            }
        }
    }

    private func write(to database: RocksDBDatabase, _ isSynced: Bool) throws(RocksDBStatus) {
        try RocksDBStatus.check { rocksdb_write(database.pointer, isSynced ? synced : unsynced, batch, $0) }
        hasFailed = false
    }

    /// RocksDB's C API has no way to tell it that there is room again, other than to close and open.
    ///
    /// - Throws: when it can't be written to; then it can still be read, if that is possible.
    private func reopen() throws(RocksDBStatus) -> RocksDBDatabase {
        // The lock is free only when the former one is gone.
        database = nil
        do throws(RocksDBStatus) {
            let opened = try RocksDBDatabase(path, readOnly: false)
            database = opened
            return opened
        } catch {
            database = try? RocksDBDatabase(path, readOnly: true)
            throw error
        }
    }

    private func opened() throws(StoreFailure) -> RocksDBDatabase {
        guard let database else { throw StoreFailure("closed: \(path)") }
        return database
    }

    /// - Throws: `failure` when the database could not be opened anew: it reads its logs then, and writes them out as
    ///   tables if they are more than one buffer holds.
    private func requireRoom(for changes: KeyValueBatch, _ failure: RocksDBStatus) throws(RocksDBStatus) {
        let logs = RocksDBDirectory.logBytes(in: path)
        let tables = logs < RocksDBOptions.bufferSize ? 0 : logs
        guard freeBytes() > Self.roomToOpen + tables + 2 * changes.byteCount else { throw failure }
    }

    private func freeBytes() -> Int {
        var space = statvfs()
        guard statvfs(path, &space) == 0 else { return .max }
        return Int(clamping: UInt64(space.f_bavail) * UInt64(space.f_frsize))
    }
}
