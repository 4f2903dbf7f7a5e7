import BrokerCore
import CRocksDB
import Storage

/// What RocksDB says when something did not work; its C API gives text alone.
struct RocksDBStatus: Error {
    let text: String

    init(text: String) { self.text = text }

    /// Takes a message of the C API over.
    init(taking message: UnsafeMutablePointer<CChar>) {
        text = String(cString: message)
        rocksdb_free(message)
    }

    /// What can be done about it.
    enum Cause {
        case locked
        case full
        case notPermitted
        case fileMissing
        case damaged
        case foreign
        case other
    }

    var cause: Cause {
        if text.contains("lock hold by current process") || text.contains("While lock file") { return .locked }
        if text.contains("No space left on device") || text.contains("Disk quota exceeded") { return .full }
        if text.contains("Permission denied") || text.contains("Read-only file system") { return .notPermitted }
        // Ours has one column family and the usual order of keys.
        if text.contains("Column families not opened") || text.contains("comparator") { return .foreign }
        if text.hasPrefix("Corruption") { return .damaged }
        if text.contains("No such file or directory") { return .fileMissing }
        return .other
    }

    /// Runs a function of the C API that reports an error through its last parameter.
    @inline(__always)
    static func check<Value>(
        _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Value
    ) throws(RocksDBStatus) -> Value {
        var message: UnsafeMutablePointer<CChar>?
        let value = body(&message)
        guard let message else { return value }
        throw RocksDBStatus(taking: message)
    }

    /// Why the directory can't be opened, and what to do.
    func refusal(_ path: String) -> StoreRefused {
        switch cause {
        case .locked:
            StoreRefused("\(path): in use by another Sluice; stop that one, or name another directory")
        case .full: StoreRefused("\(path): no space left on the device; make room and start again")
        case .notPermitted:
            StoreRefused("\(path): not permitted (\(text)); give the directory to the user who runs Sluice")
        case .fileMissing, .damaged:
            StoreRefused(
                "\(path): damaged (\(text)); restore a backup, or try RocksDB's own ldb repair on a copy of it"
            )
        case .foreign: StoreRefused("\(path): holds another program's RocksDB database; name another directory")
        case .other: StoreRefused("\(path): can't be opened: \(text)")
        }
    }

    /// Why something did not work with the directory open.
    func failure(_ path: String) -> StoreFailure {
        switch cause {
        case .full: StoreFailure("no space left on the device: \(path)")
        case .damaged, .fileMissing: StoreFailure(refusal(path).description)
        default: StoreFailure("\(text): \(path)")
        }
    }
}
