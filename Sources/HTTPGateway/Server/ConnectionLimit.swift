import NIOCore

/// Accepts no connections while there are as many as there may be; more of them wait in the system's queue.
final class ConnectionLimit: ChannelDuplexHandler, @unchecked Sendable {
    // Sendable as a handle that a connection's end carries back to the listener's event loop, where alone it is touched.

    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let maximum: Int
    private var count = 0
    private var isReadWanted = false

    /// - Parameter maximum: connections at a time, give or take those that are accepted with one read.
    init(_ maximum: Int) { self.maximum = maximum }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        count += 1
        let (eventLoop, listener) = (context.eventLoop, context.channel)
        unwrapInboundIn(data).closeFuture.whenComplete { _ in
            eventLoop.execute { self.closed(listener) }
        }
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        guard count < maximum else {
            isReadWanted = true
            return
        }
        context.read()
    }

    private func closed(_ listener: any Channel) {
        count -= 1
        guard isReadWanted, count < maximum else { return }
        isReadWanted = false
        listener.read()
    }
}
