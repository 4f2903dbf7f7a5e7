import NIOConcurrencyHelpers
import NIOCore

/// Does something on a channel's event loop unless it is cancelled in time.
final class Alarm: Sendable {
    private let scheduled: Scheduled<Void>

    init(_ channel: any Channel, after delay: TimeAmount, _ action: @escaping @Sendable () -> Void) {
        scheduled = channel.eventLoop.scheduleTask(in: delay, action)
    }

    func cancel() { scheduled.cancel() }
}
