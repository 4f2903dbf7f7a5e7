import HTTPTypes
import HummingbirdCore
import NIOConcurrencyHelpers
import NIOCore
import Synchronization

/// Reads one request's body, within bounds of size and time.
struct BodyReader: ~Copyable {
    /// Bytes thrown away of a body nobody wants before its connection is closed in the client's face.
    private static let maximumDiscarded = 1_024 * 1_024
    /// How long a client may go on sending a body nobody wants.
    private static let discardTimeout = TimeAmount.seconds(1)

    private var iterator: RequestBody.AsyncIterator
    private let channel: any Channel
    /// Whether all of it has come, or there is none.
    private(set) var isAtEnd: Bool

    init(_ request: Request, channel: any Channel) {
        iterator = request.body.makeAsyncIterator()
        self.channel = channel
        let length = request.headers[.contentLength].flatMap { Int($0) } ?? 0
        isAtEnd = length == 0 && request.headers[.transferEncoding] == nil
    }

    /// All of the body.
    ///
    /// - Throws: 400 when the client breaks off, 408 when it takes too long, 413 when it is larger than `maximum` bytes.
    @concurrent
    mutating func read(maximum: Int, timeout: TimeAmount) async throws(Problem) -> ByteBuffer {
        // Ends the input, which the iterator sees as a body broken off.
        let alarm = Alarm(channel, after: timeout) { channel in
            channel.close(mode: .input, promise: nil)
        }
        defer { alarm.cancel() }
        var body = ByteBuffer()
        do {
            while let part = try await iterator.next() {
                guard body.readableBytes + part.readableBytes <= maximum else {
                    throw Problem.tooLarge(maximum: maximum)
                }
                if body.readableBytes == 0 { body = part } else { body.writeImmutableBuffer(part) }
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw alarm.hasGone ? .bodyTimeout : .badRequest("the body broke off")
        }
        guard !alarm.hasGone else { throw .bodyTimeout }
        isAtEnd = true
        return body
    }

    /// Reads what is left of a body that was not wanted and throws it away, within bounds: closing with unread bytes
    /// would take the answer with it (RFC 9112 §9.6).
    @concurrent
    mutating func discard() async {
        let alarm = Alarm(channel, after: Self.discardTimeout) { $0.close(promise: nil) }
        defer { alarm.cancel() }
        var discarded = 0
        while discarded < Self.maximumDiscarded, let part = try? await iterator.next() {
            discarded += part.readableBytes
        }
    }
}

/// Does something to a channel unless it is cancelled in time.
final class Alarm: Sendable {
    private let gone = Atomic(false)
    private let scheduled = NIOLockedValueBox<Scheduled<Void>?>(nil)

    init(_ channel: any Channel, after delay: TimeAmount, _ action: @escaping @Sendable (any Channel) -> Void) {
        let task = channel.eventLoop.scheduleTask(in: delay) {
            self.gone.store(true, ordering: .relaxed)
            action(channel)
        }
        scheduled.withLockedValue { $0 = task }
    }

    /// Whether it was too late to cancel.
    var hasGone: Bool { gone.load(ordering: .relaxed) }

    func cancel() { scheduled.withLockedValue { $0.take() }?.cancel() }
}
