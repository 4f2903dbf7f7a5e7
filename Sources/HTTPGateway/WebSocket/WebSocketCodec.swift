package import NIOCore

/// Makes a stream of bytes of a WebSocket, for the MQTT handler above it: unmasked payload up, one binary frame round
/// each buffer down.
///
/// Pings are answered, and the close handshake is kept, here. Closing the channel from above sends a close frame first
/// and waits a moment for the peer's.
package final class WebSocketByteCodec: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum State {
        case open
        /// Our close frame is out: nothing more is sent, and data that comes is of no interest.
        case closeSent
        /// The channel is on its way down.
        case closed
    }

    /// How long a peer may take to answer our close frame.
    private static let closeTimeout = TimeAmount.milliseconds(500)
    /// How long a client that has not connected yet is left when the server stops; the broker ends all others.
    private static let quiesceDelay = TimeAmount.milliseconds(250)

    private var reader: WebSocketFrameReader
    private var state = State.open
    /// What our close frame says when the close comes from above.
    private var closing = WebSocketFailure.normal
    /// The latest ping that could not be answered, for want of room.
    private var unansweredPing: ByteBuffer?

    /// - Parameter maximumMessageSize: bytes of a message, all its frames together.
    package init(maximumMessageSize: Int) { reader = WebSocketFrameReader(maximumMessageSize: maximumMessageSize) }

    // MARK: In

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .closed else { return }
        var input = unwrapInboundIn(data)
        var output = context.channel.allocator.buffer(capacity: input.readableBytes)
        var ending: WebSocketFrameReader.Control?
        var failure: WebSocketFailure?
        do throws(WebSocketFailure) {
            while ending == nil, let control = try reader.read(&input, into: &output) {
                switch control {
                case .ping(let payload): answer(context, payload)
                case .pong: break
                case .close: ending = control
                }
            }
        } catch {
            failure = error
        }
        if output.readableBytes > 0, state == .open { context.fireChannelRead(wrapInboundOut(output)) }
        if let failure { fail(context, failure) }
        if case .close(let code) = ending { closeReceived(context, code) }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, let ping = unansweredPing.take() {
            answer(context, ping)
            context.flush()
        }
        context.fireChannelWritabilityChanged()
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            closing = .goingAway
            let channel = context.channel
            context.eventLoop.scheduleTask(in: Self.quiesceDelay) { channel.close(promise: nil) }
        case ChannelEvent.inputClosed:
            state = .closed
            context.close(promise: nil)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// RFC 6455 §5.5.3: of several pings the latest may be answered alone.
    private func answer(_ context: ChannelHandlerContext, _ ping: ByteBuffer) {
        guard state == .open else { return }
        guard context.channel.isWritable else {
            unansweredPing = ping
            return
        }
        writeFrame(context, .pong, ping, promise: nil)
        context.flush()
    }

    // MARK: Out

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let payload = unwrapOutboundIn(data)
        // An empty buffer is somebody's wish to know what has been flushed.
        guard payload.readableBytes > 0 else { return context.write(data, promise: promise) }
        guard state == .open else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        writeFrame(context, .binary, payload, promise: promise)
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard state == .open, context.channel.isActive else {
            state = .closed
            return context.close(mode: .all, promise: promise)
        }
        state = .closeSent
        writeClose(context, closing.code).whenComplete { _ in }
        let channel = context.channel
        channel.closeFuture.cascade(to: promise)
        // The second time it goes through.
        context.eventLoop.scheduleTask(in: Self.closeTimeout) { channel.close(promise: nil) }
    }

    // MARK: The end

    private func closeReceived(_ context: ChannelHandlerContext, _ code: UInt16?) {
        let isAnswer = state == .closeSent
        state = .closed
        guard !isAnswer else { return context.close(promise: nil) }
        let channel = context.channel
        writeClose(context, code).whenComplete { _ in channel.close(promise: nil) }
    }

    /// Tells the peer and stops sending.
    ///
    /// What it still sends is read and thrown away for a moment: closing with unread
    /// bytes would take our last frame with it.
    private func fail(_ context: ChannelHandlerContext, _ failure: WebSocketFailure) {
        let channel = context.channel
        guard state == .open else {
            state = .closed
            return context.close(promise: nil)
        }
        state = .closed
        writeClose(context, failure.code).whenComplete { _ in }
        context.close(mode: .output, promise: nil)
        context.eventLoop.scheduleTask(in: Self.closeTimeout) { channel.close(promise: nil) }
    }

    private func writeClose(_ context: ChannelHandlerContext, _ code: UInt16?) -> EventLoopFuture<Void> {
        let written = context.eventLoop.makePromise(of: Void.self)
        var payload = ByteBuffer()
        if let code { payload.writeInteger(code) }
        writeFrame(context, .close, payload, promise: written)
        context.flush()
        return written.futureResult
    }

    private enum Opcode: UInt8 {
        case binary = 2
        case close = 8
        case pong = 10
    }

    /// A server's frames are not masked (RFC 6455 §5.1).
    private func writeFrame(
        _ context: ChannelHandlerContext,
        _ opcode: Opcode,
        _ payload: ByteBuffer,
        promise: EventLoopPromise<Void>?
    ) {
        var header = context.channel.allocator.buffer(capacity: 10)
        header.writeInteger(0x80 | opcode.rawValue)
        switch payload.readableBytes {
        case 0...125: header.writeInteger(UInt8(payload.readableBytes))
        case 126...0xffff: header.writeMultipleIntegers(UInt8(126), UInt16(payload.readableBytes))
        default: header.writeMultipleIntegers(UInt8(127), UInt64(payload.readableBytes))
        }
        guard payload.readableBytes > 0 else { return context.write(wrapOutboundOut(header), promise: promise) }
        context.write(wrapOutboundOut(header), promise: nil)
        context.write(wrapOutboundOut(payload), promise: promise)
    }
}
