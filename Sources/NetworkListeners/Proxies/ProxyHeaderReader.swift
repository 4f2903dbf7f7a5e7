package import NIOCore

/// Takes a PROXY protocol header off a connection, and leaves.
///
/// A connection that has none, or not in time, is closed: what its proxy knows of the client would be lost.
package final class ProxyHeaderReader: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    /// A connection without a header that could be read.
    package struct Failure: Sendable {
        package let words: String
        /// Whether it happens without anybody's mistake: a connection that was closed before anything came.
        package let isOrdinary: Bool
    }

    private let timeout: TimeAmount
    private let onFailure: (Failure) -> Void
    private let onHeader: (ProxyHeader) throws -> Void
    private var alarm: Scheduled<Void>?
    private var partial = ByteBuffer()
    private var isDone = false

    /// - Parameters:
    ///   - timeout: how long the header may take to arrive.
    ///   - onFailure: told why a connection is closed; on the channel's event loop.
    ///   - onHeader: called on the channel's event loop before what follows the header is passed on; when it throws, the
    ///     channel is closed.
    package init(
        timeout: TimeAmount,
        onFailure: @escaping (Failure) -> Void = { _ in },
        onHeader: @escaping (ProxyHeader) throws -> Void
    ) {
        self.timeout = timeout
        self.onFailure = onFailure
        self.onHeader = onHeader
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context.channel), eventLoop: context.eventLoop)
        alarm = context.eventLoop.scheduleTask(in: timeout) {
            let (reader, channel) = bound.value
            reader.fail("no PROXY protocol header came in time")
            channel.close(promise: nil)
        }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        fail("the connection was closed before a PROXY protocol header", isOrdinary: partial.readableBytes == 0)
        context.fireChannelInactive()
    }

    private func fail(_ words: String, isOrdinary: Bool = false) {
        guard !isDone else { return }
        isDone = true
        onFailure(Failure(words: words, isOrdinary: isOrdinary))
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
            fail("what the proxy's connection begins with is no PROXY protocol header")
            context.close(promise: nil)
        }
    }
}
