import CSockets
import Glibc

/// An event descriptor any thread may write to; open as long as anybody might.
final class WakeUp: Sendable {
    let descriptor: Int32

    /// Nil when there are too many open files.
    init?() {
        descriptor = sockets_wake_open()
        guard descriptor >= 0 else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func callAsFunction() {
        // It can only be full, and then it wakes.
        withUnsafeBytes(of: UInt64(1)) { _ = write(descriptor, $0.baseAddress, $0.count) }
    }

    /// Takes in that somebody has written; on the thread that is woken.
    func clear() {
        var wakes: UInt64 = 0
        withUnsafeMutableBytes(of: &wakes) { _ = read(descriptor, $0.baseAddress, $0.count) }
    }
}
