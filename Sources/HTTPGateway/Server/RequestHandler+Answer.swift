import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// The way out.
extension RequestHandler {
    /// Bytes written at a time: a client that reads slowly shows some progress at each.
    private static let slice = 64 * 1_024
    /// Bytes thrown away of a body nobody wants before its connection is closed in the client's face.
    private static let maximumDiscarded = 1_024 * 1_024
    /// How long a client may go on sending a body nobody wants, or take to read a stream's last words.
    private static let closeTimeout = TimeAmount.seconds(1)

    func write(_ response: Response) {
        guard let context, case .answering = state else {
            // The client has left.
            if case .stream(let stream) = response.body { stream.end() }
            return
        }
        context.eventLoop.assertInEventLoop()
        unlimit()
        admission = nil
        body = ByteBuffer()
        var response = response
        gateway.complete(&response, to: head)
        isLast = isLast || !isRequestOver || head.headerFields[.connection] == "close"
        if isLast { response.headers[.connection] = "close" }
        let head = HTTPResponse(status: response.status, headerFields: response.headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        switch response.body {
        case .bytes(let bytes):
            outgoing = bytes
            state = .writing
            writeOutgoing()
        case .stream(let stream):
            isLast = true
            self.head = HTTPRequest(method: .get, scheme: nil, authority: nil, path: nil)
            state = .streaming(stream)
            stream.begin(on: self)
        }
    }

    /// Goes on with the answer as far as the client reads it.
    func writeOutgoing() {
        while isWritable, let part = outgoing.readSlice(length: min(Self.slice, outgoing.readableBytes)),
            part.readableBytes > 0
        {
            write(part)
        }
        guard outgoing.readableBytes == 0 else { return flush() }
        outgoing = ByteBuffer()
        finish()
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// A part of the answer's body, to be flushed.
    func write(_ bytes: ByteBuffer) { context?.write(wrapOutboundOut(.body(bytes)), promise: nil) }

    /// The answer is complete.
    func finish() {
        guard let context else { return }
        guard isLast else {
            context.write(wrapOutboundOut(.end(nil)), promise: nil)
            flush()
            state = .awaitingRequest
            return proceed()
        }
        if case .streaming = state {
        } else if !isRequestOver {
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            state = .discarding
            limit(Self.closeTimeout) { $0.close() }
            return proceed()
        }
        if case .streaming = state { limit(Self.closeTimeout) { $0.close() } }
        state = .closed
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in self.close() }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
    }

    func discard(_ bytes: ByteBuffer) {
        discarded += bytes.readableBytes
        if discarded >= Self.maximumDiscarded { close() }
    }

    func close() { context?.close(promise: nil) }
}

extension HTTPRequest {
    /// Whether a body follows (RFC 9112 §6.3).
    var hasBody: Bool {
        headerFields[.transferEncoding] != nil || headerFields[.contentLength].flatMap { Int($0) } ?? 0 > 0
    }
}
