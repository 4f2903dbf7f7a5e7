import JSONMessages
import NIOCore

/// What the connections of one event loop share; it is confined to the loop.
final class GatewayLoop: @unchecked Sendable {
    // Sendable: `executor` is, and `encoder` is touched on the loop only.

    let executor: EventLoopExecutor
    /// Writes a message for a thousand streams once.
    let encoder = MessageEncoder()

    init(_ eventLoop: any EventLoop) { executor = EventLoopExecutor(eventLoop) }
}
