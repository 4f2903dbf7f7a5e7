import Glibc
import Storage

/// Keeps brokers out of a directory that is being read, as RocksDB keeps a second one out of its own.
final class DirectoryLock {
    private let file: Int32

    /// - Throws: when a broker has the directory.
    init(_ path: String) throws(StoreRefused) {
        // Reading must do: the one who looks may not be the one who owns it.
        file = open("\(path)/LOCK", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw StoreRefused("\(path): can't open its lock: \(String(cString: strerror(errno)))") }
        var range = flock()
        range.l_type = Int16(F_RDLCK)
        range.l_whence = Int16(SEEK_SET)
        guard fcntl(file, F_SETLK, &range) == 0 else {
            throw StoreRefused("\(path): in use by a running Sluice; stop it first")
        }
    }

    deinit { if file >= 0 { close(file) } }
}
