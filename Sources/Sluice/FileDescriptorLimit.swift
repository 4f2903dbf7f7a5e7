import BrokerCore
import CoreRuntime
import Glibc

/// The number of files and sockets the system lets this process have.
enum FileDescriptorLimit {
    /// Descriptors for anything but clients: the store's files, event loops, listeners.
    private static let reserve = 64
    /// Those of a CoAP listener: its socket, what waits for it, and what wakes that up.
    private static let reservePerCoAPListener = 3

    /// Raises the soft limit as far as the hard one lets it, and says when that is too little.
    ///
    /// - Parameters:
    ///   - connections: how many there should be room for.
    ///   - coapListeners: what has sockets of its own.
    /// - Returns: how many connections there may be; at least half of all descriptors are for them.
    static func raise(for connections: Int, coapListeners: Int, _ events: EventLog) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        let descriptors = Int(clamping: limit.rlim_cur)
        let left = max(descriptors - reserve - coapListeners * reservePerCoAPListener, descriptors / 2)
        guard left < connections else { return left }
        events.note(
            .configWarning,
            level: .notice,
            [
                .detail(
                    "the system's limit on open files, \(descriptors), is below limits.connections, \(connections): "
                        + "\(left) are accepted; raise it with ulimit -n or LimitNOFILE"
                )
            ]
        )
        return left
    }
}
