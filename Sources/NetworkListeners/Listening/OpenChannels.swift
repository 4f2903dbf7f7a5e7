import NIOConcurrencyHelpers
import NIOCore

/// The open network connections of a listener, for a shutdown that waits until there are none, and not for ever.
final class OpenChannels: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var waiting: CheckedContinuation<Void, Never>?
        /// Whether the server stops.
        var isClosing = false
    }

    private let state = NIOLockedValueBox(State())

    init() {}

    /// Remembers a channel until it closes.
    func add(_ channel: any Channel) {
        let key = ObjectIdentifier(channel)
        let isTooLate = state.withLockedValue { state in
            state.channels[key] = channel
            return state.isClosing
        }
        channel.closeFuture.whenComplete { _ in self.remove(key) }
        if isTooLate { channel.close(promise: nil) }
    }

    /// Tells all of them that the server stops.
    func quiesce() {
        for channel in state.withLockedValue({ Array($0.channels.values) }) {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    /// Closes whatever is still open by then.
    func closeAll(in delay: TimeAmount) {
        let open = state.withLockedValue { state in
            state.isClosing = true
            return Array(state.channels.values)
        }
        for channel in open {
            channel.eventLoop.scheduleTask(in: delay) { channel.close(promise: nil) }
        }
    }

    /// Waits until there is none.
    func allClosed() async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLockedValue { state in
                guard !state.channels.isEmpty else { return true }
                state.waiting = continuation
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    private func remove(_ key: ObjectIdentifier) {
        let waiting = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
            state.channels[key] = nil
            guard state.channels.isEmpty else { return nil }
            return state.waiting.take()
        }
        waiting?.resume()
    }
}
