import Dispatch
import Glibc
import NIOConcurrencyHelpers
import NIOCore

/// Writes the log on a thread of its own, from a bounded buffer: a log that nobody reads stops nobody, and the lines that
/// were left out meanwhile are counted and told when it flows again.
final class LogWriter: Sendable {
    /// Bytes that wait to be written.
    private static let capacity = 1_048_576

    private struct State {
        var waiting = ByteBuffer()
        var leftOut = 0
        var isWriting = false
        /// To be told when there is nothing to write.
        var whenIdle: [@Sendable () -> Void] = []
    }

    private let state = NIOLockedValueBox(State())
    private let queue = DispatchQueue(label: "log")
    private let file: Int32
    private let capacity: Int
    private let leftOutLine: @Sendable (_ count: Int) -> String

    /// - Parameters:
    ///   - file: a descriptor; it may block.
    ///   - leftOutLine: says that so many lines are missing, with a line end.
    init(
        _ file: Int32,
        capacity: Int = LogWriter.capacity,
        leftOutLine: @escaping @Sendable (_ count: Int) -> String
    ) {
        self.file = file
        self.capacity = capacity
        self.leftOutLine = leftOutLine
    }

    /// Hands a line over; never waits.
    ///
    /// - Parameter line: with its end.
    func write(_ line: String) {
        let isBegun = state.withLockedValue { state in
            guard state.waiting.readableBytes + line.utf8.count <= capacity else {
                state.leftOut += 1
                return false
            }
            state.waiting.writeString(line)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if isBegun { queue.async { self.work() } }
    }

    /// Waits until all lines are written, or for so long.
    ///
    /// - Returns: whether they are.
    @discardableResult
    func flush(within limit: DispatchTimeInterval = .seconds(1)) -> Bool {
        let idle = DispatchSemaphore(value: 0)
        state.withLockedValue { state in
            if state.isWriting { state.whenIdle.append { idle.signal() } } else { idle.signal() }
        }
        return idle.wait(timeout: .now() + limit) == .success
    }

    private func work() {
        while let bytes = next() { writeAll(bytes) }
    }

    /// All that waits; nil when that is nothing.
    private func next() -> ByteBuffer? {
        let (bytes, idle) = state.withLockedValue { state -> (ByteBuffer?, [@Sendable () -> Void]) in
            if state.leftOut > 0 {
                state.waiting.writeString(leftOutLine(state.leftOut))
                state.leftOut = 0
            }
            guard state.waiting.readableBytes == 0 else {
                defer { state.waiting = ByteBuffer() }
                return (state.waiting, [])
            }
            state.isWriting = false
            defer { state.whenIdle = [] }
            return (nil, state.whenIdle)
        }
        for tell in idle { tell() }
        return bytes
    }

    private func writeAll(_ bytes: ByteBuffer) {
        var rest = bytes.readableBytesView[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno == EAGAIN {
                // Somebody has made it one that does not block.
                var waiting = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
                _ = poll(&waiting, 1, 1_000)
            } else if errno != EINTR {
                // There is no log any more, and nobody to tell so.
                return
            }
        }
    }
}
