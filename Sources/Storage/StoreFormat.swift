import BrokerCore

/// The record that says whose store it is, and in which format.
enum StoreFormat {
    static let key = RecordKind.format.prefix
    static let value = [RecordVersion.current] + Array("Sluice".utf8)

    /// Makes an empty store ours.
    ///
    /// - Throws: when it is somebody else's, or of a newer format.
    static func claim(_ store: any KeyValueStore) throws(StoreRefused) {
        do throws(StoreFailure) {
            let isNew = try check(store) == nil
            let batch = KeyValueBatch()
            batch.put(key, value)
            do throws(StoreFailure) {
                try store.write(batch, synced: isNew)
            } catch {
                // Written at each start, so that it is not lost with the one table that it was first written to. A full
                // disk is no reason not to start.
                if isNew { throw error }
            }
        } catch {
            throw StoreRefused(error.description)
        }
    }

    /// The format's version; nil when the store is empty.
    ///
    /// - Throws: when it is somebody else's, or of a newer format.
    static func check(_ store: any KeyValueStore) throws(StoreFailure) -> UInt8? {
        var found: [UInt8]?
        try store.read([key]) { _, value in found = value.map { Array($0) } }
        guard let found else {
            var isEmpty = true
            try store.scan(prefix: []) { _, _ in
                isEmpty = false
                return false
            }
            if isEmpty { return nil }
            throw StoreFailure("\(store.name): holds another program's data; name another directory")
        }
        guard let version = found.first, version > 0, Array(found.dropFirst()) == Array(value.dropFirst()) else {
            throw StoreFailure("\(store.name): its format record is damaged, or another program's; restore a backup")
        }
        guard version <= RecordVersion.current else {
            throw StoreFailure(
                "\(store.name): written by a newer Sluice (format \(version), this one reads up to "
                    + "\(RecordVersion.current)); start the newer one, or restore a backup"
            )
        }
        return version
    }
}
