import BrokerCore
package import CoreRuntime
package import NIOCore

/// Makes buffers of a WebSocket, for the handler above it: unmasked payload up, one frame round each message down.
///
/// Binary messages that come are a stream of bytes, cut anywhere; of text messages each goes up in one buffer. Pings are answered and
/// sent, and the close handshake is kept, here. Closing the channel from above sends a close frame first and waits a
/// moment for the peer's.
package final class WebSocketCodec: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// What is asked of a peer.
    package struct Rules: Sendable {
        /// Bytes of a message, all its frames together.
        package var maximumMessageSize: Int
        /// How often it is sent a ping, and closed when nothing came since the last one; nil is never.
        package var pingInterval: TimeAmount?
        /// Whether the handler above hears of a pong, as an empty buffer: it may take that for a sign of life.
        package var tellsPongs = false
        /// How long it may read nothing while there is something for it; nil is for ever.
        package var stallTimeout: TimeAmount?

        package init(maximumMessageSize: Int) { self.maximumMessageSize = maximumMessageSize }
    }

    private enum State {
        case open
        /// Our close frame is out: nothing more is sent, and data that comes is of no interest.
        case closeSent
        /// The channel is on its way down.
        case closed
    }

    /// How long a peer may take to answer our close frame.
    private static let closeTimeout = TimeAmount.milliseconds(500)
    /// How long a client is left when the server stops, unless the handler above ends its connection before.
    private static let quiesceDelay = TimeAmount.milliseconds(250)

    private let rules: Rules
    /// Counts the text message that is under way.
    private let account: ConnectionBytes.Account?
    private let messageLength: (ByteBuffer) -> Int
    private var reader: WebSocketFrameReader
    /// The text message that is under way.
    private var message = ByteBuffer()
    private var wasHeard = true
    private var pinging: RepeatedTask?
    private var stall: Scheduled<Void>?
    private var state = State.open
    /// What our close frame says when the close comes from above.
    private var closing = WebSocketFailure.normal
    /// The latest ping that could not be answered, for want of room.
    private var unansweredPing: ByteBuffer?

    /// - Parameters:
    ///   - form: what the peer's messages are, and ours.
    ///   - account: counts the text message that is under way; nil counts nothing.
    ///   - messageLength: how many bytes of a buffer that is sent are its first message; of binary messages only.
    package init(
        _ form: WebSocketFrameReader.Form = .binary,
        _ rules: Rules,
        account: ConnectionBytes.Account? = nil,
        messageLength: @escaping (ByteBuffer) -> Int = { $0.readableBytes }
    ) {
        self.rules = rules
        self.messageLength = messageLength
        self.account = account
        reader = WebSocketFrameReader(form: form, maximumMessageSize: rules.maximumMessageSize)
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        guard let interval = rules.pingInterval else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        pinging = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            let (codec, context) = bound.value
            codec.ping(context)
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { stopTimers() }

    package func channelInactive(context: ChannelHandlerContext) {
        stopTimers()
        context.fireChannelInactive()
    }

    private func stopTimers() {
        pinging?.cancel()
        pinging = nil
        stall?.cancel()
        stall = nil
    }

    // MARK: In

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .closed else { return }
        wasHeard = true
        var input = unwrapInboundIn(data)
        do throws(WebSocketFailure) {
            switch reader.form {
            case .binary: try readBinary(context, &input)
            case .text: try readText(context, &input)
            }
        } catch {
            fail(context, error)
        }
    }

    /// What came before a failure or a close frame goes up, too.
    private func readBinary(_ context: ChannelHandlerContext, _ input: inout ByteBuffer) throws(WebSocketFailure) {
        var output = context.channel.allocator.buffer(capacity: input.readableBytes)
        var ending: WebSocketFrameReader.Event?
        var failure: WebSocketFailure?
        do throws(WebSocketFailure) {
            while ending == nil, let event = try reader.read(&input, into: &output) {
                if case .close = event { ending = event } else { handle(context, event) }
            }
        } catch {
            failure = error
        }
        if output.readableBytes > 0, state == .open { context.fireChannelRead(wrapInboundOut(output)) }
        if let failure { throw failure }
        if case .close(let code) = ending { closeReceived(context, code) }
    }

    private func readText(_ context: ChannelHandlerContext, _ input: inout ByteBuffer) throws(WebSocketFailure) {
        while state != .closed, let event = try reader.read(&input, into: &message) {
            switch event {
            case .message:
                let whole = message
                message = ByteBuffer()
                guard whole.isUTF8 else { throw .notUTF8 }
                if state == .open { context.fireChannelRead(wrapInboundOut(whole)) }
            case .close(let code): closeReceived(context, code)
            default: handle(context, event)
            }
        }
        guard account?.hold(message.storageCapacity) == nil else { throw .tryAgainLater }
    }

    private func handle(_ context: ChannelHandlerContext, _ event: WebSocketFrameReader.Event) {
        switch event {
        case .ping(let payload): answer(context, payload)
        case .pong where rules.tellsPongs && state == .open: context.fireChannelRead(wrapInboundOut(ByteBuffer()))
        default: break
        }
    }

    private func ping(_ context: ChannelHandlerContext) {
        guard state == .open else { return }
        // A peer that was asked and is silent is gone, whatever TCP makes of it.
        guard wasHeard else { return context.channel.close(promise: nil) }
        wasHeard = false
        guard context.channel.isWritable else { return }
        writeFrame(context, .ping, ByteBuffer(), promise: nil)
        context.flush()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = nil
        if context.channel.isWritable {
            if let ping = unansweredPing.take() { answer(context, ping) }
        } else if let timeout = rules.stallTimeout {
            let channel = context.channel
            stall = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
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
        switch reader.form {
        case .binary: writeMessages(context, payload, promise: promise)
        case .text: writeFrame(context, .text, payload, promise: promise)
        }
    }

    /// Each message has a frame of its own, and all leave in one write.
    private func writeMessages(
        _ context: ChannelHandlerContext,
        _ messages: ByteBuffer,
        promise: EventLoopPromise<Void>?
    ) {
        var messages = messages
        var frames = context.channel.allocator.buffer(
            capacity: messages.readableBytes + messages.readableBytes / 8 + 16
        )
        while messages.readableBytes > 0,
            let message = messages.readSlice(length: min(messageLength(messages), messages.readableBytes))
        {
            Self.writeHeader(.binary, message.readableBytes, to: &frames)
            guard message.readableBytes > Self.maximumCopied else {
                frames.writeImmutableBuffer(message)
                continue
            }
            context.write(wrapOutboundOut(frames), promise: nil)
            let isLast = messages.readableBytes == 0
            context.write(wrapOutboundOut(message), promise: isLast ? promise : nil)
            if isLast { return }
            frames = context.channel.allocator.buffer(capacity: messages.readableBytes + 16)
        }
        context.write(wrapOutboundOut(frames), promise: promise)
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
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10
    }

    /// A server's frames are not masked (RFC 6455 §5.1).
    private func writeFrame(
        _ context: ChannelHandlerContext,
        _ opcode: Opcode,
        _ payload: ByteBuffer,
        promise: EventLoopPromise<Void>?
    ) {
        let length = payload.readableBytes
        // Small ones are cheaper to copy than to send as two.
        let isCopied = length <= Self.maximumCopied
        var frame = context.channel.allocator.buffer(capacity: 10 + (isCopied ? length : 0))
        Self.writeHeader(opcode, length, to: &frame)
        guard !isCopied else {
            frame.writeImmutableBuffer(payload)
            return context.write(wrapOutboundOut(frame), promise: promise)
        }
        context.write(wrapOutboundOut(frame), promise: nil)
        context.write(wrapOutboundOut(payload), promise: promise)
    }

    private static func writeHeader(_ opcode: Opcode, _ length: Int, to frame: inout ByteBuffer) {
        frame.writeInteger(0x80 | opcode.rawValue)
        switch length {
        case 0...125: frame.writeInteger(UInt8(length))
        case 126...0xffff: frame.writeMultipleIntegers(UInt8(126), UInt16(length))
        default: frame.writeMultipleIntegers(UInt8(127), UInt64(length))
        }
    }

    /// Bytes of payload.
    private static let maximumCopied = 1_024
}

extension ByteBuffer {
    /// Whether the readable bytes are UTF-8.
    var isUTF8: Bool {
        withUnsafeReadableBytes { (try? UTF8Span(validating: Span<UInt8>(_unsafeBytes: $0))) != nil }
    }
}
