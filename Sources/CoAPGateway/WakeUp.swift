import CSockets

/// An event descriptor any thread may write to; open as long as anybody might.
final class WakeUp: Sendable {
    let descriptor: Int32

    /// Nil when there are too many open files.
    init?() {
        descriptor = sockets_wake_open()
        guard descriptor >= 0 else { return nil }
    }

    deinit { if descriptor >= 0 { sockets_close(descriptor) } }

    func callAsFunction() { sockets_wake(descriptor) }

    /// Takes in that somebody has written; on the thread that is woken.
    func clear() { sockets_wake_clear(descriptor) }
}
