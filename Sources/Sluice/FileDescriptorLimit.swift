import Glibc
import Logging

/// The number of sockets the system lets this process have.
enum FileDescriptorLimit {
    /// Descriptors for anything but clients.
    private static let reserve = 64

    /// Raises the soft limit as far as the hard one lets it, and says when that is too little.
    static func raise(for connections: Int, _ logger: Logger) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        guard limit.rlim_cur < rlim_t(connections + reserve) else { return }
        logger.notice(
            "the system's limit on open files is below limits.connections; raise it with ulimit -n or LimitNOFILE",
            metadata: ["open_files": "\(limit.rlim_cur)", "connections": "\(connections)"]
        )
    }
}
