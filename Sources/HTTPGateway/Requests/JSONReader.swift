import Dispatch
import NIOCore

/// Reads large JSON on a thread of its own: a megabyte takes longer than an event loop, which others wait for, may stand
/// still.
///
/// One text at a time, so that it takes one core at most.
enum JSONReader {
    /// Bytes of JSON that are read at once.
    static let small = 16 * 1_024

    private static let queue = DispatchQueue(label: "sluice.json")

    /// Reads a text, and calls back on the event loop: at once when it is small.
    static func read<Value: Sendable>(
        _ text: ByteBuffer,
        on eventLoop: any EventLoop,
        _ read: @escaping @Sendable (ByteBuffer) -> Value,
        _ done: @escaping @Sendable (Value) -> Void
    ) {
        guard text.readableBytes > small else { return done(read(text)) }
        queue.async {
            let value = read(text)
            eventLoop.execute { done(value) }
        }
    }

    /// Reads a text.
    static func read<Value: Sendable>(
        _ text: ByteBuffer,
        _ read: @escaping @Sendable (ByteBuffer) -> Value
    ) async -> Value {
        guard text.readableBytes > small else { return read(text) }
        return await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: read(text)) }
        }
    }
}
