import CSockets
import Glibc

/// A POSIX thread of one's own, which may wait for sockets as long as it likes.
enum CoAPThread {
    private final class Body {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts one that ends with `run`.
    ///
    /// - Returns: whether there could be one.
    static func start(name: String, _ run: @escaping @Sendable () -> Void) -> Bool {
        let body = Unmanaged.passRetained(Body(run))
        var thread = pthread_t()
        let failed = pthread_create(
            &thread,
            nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            },
            body.toOpaque()
        )
        guard failed == 0 else {
            body.release()
            return false
        }
        sockets_name_thread(thread, name)
        pthread_detach(thread)
        return true
    }
}
