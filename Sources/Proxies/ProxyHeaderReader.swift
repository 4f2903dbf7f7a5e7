package import NIOCore

/// Takes a PROXY protocol header off a connection, and leaves.
///
/// A connection that has none, or not in time, is closed: what its proxy knows of the client would be lost.
package final class ProxyHeaderReader: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private let onHeader: (ProxyHeader) throws -> Void
    private var alarm: Scheduled<Void>?
    private var partial = ByteBuffer()
    private var isDone = false

    /// - Parameters:
    ///   - timeout: how long the header may take to arrive.
    ///   - onHeader: called on the channel's event loop before what follows the header is passed on; when it throws, the
    ///     channel is closed.
    package init(timeout: TimeAmount, onHeader: @escaping (ProxyHeader) throws -> Void) {
        self.timeout = timeout
        self.onHeader = onHeader
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        alarm = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { alarm?.cancel() }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDone else { return }
        partial.writeImmutableBuffer(unwrapInboundIn(data))
        do {
            guard let header = try ProxyHeader.read(&partial) else { return }
            isDone = true
            try onHeader(header)
            if partial.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(partial)) }
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            isDone = true
            context.close(promise: nil)
        }
    }
}
