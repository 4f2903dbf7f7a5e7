import CoreRuntime
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// The way out.
extension RequestHandler {
    /// Bytes written at a time: a client that reads slowly shows some progress at each.
    private static let slice = 64 * 1_024
    /// Bytes thrown away of a body nobody wants before its connection is closed in the client's face.
    private static let maximumDiscarded = 1_024 * 1_024
    /// How long a client may go on sending a body nobody wants, or take to read the end of a stream.
    private static let closeTimeout = TimeAmount.seconds(1)

    func write(_ response: Response) {
        guard let context, let request, case .answering = state else {
            // The client has left.
            if case .stream(let stream) = response.body { stream.end() }
            return
        }
        context.eventLoop.assertInEventLoop()
        unlimit()
        forgetBody()
        var response = response
        if case .bytes(let bytes) = response.body {
            outgoing = bytes
            // Nobody knows how slowly it is read. What has done something is told so all the same.
            if let refusal = keep(), request.method == .get || request.method == .head {
                response = server.responder.response(to: refusal, isHead: request.method == .head)
                outgoing = ByteBuffer()
            }
        }
        if let refused = response.refused { note(refused, request) }
        server.complete(&response, to: request.head)
        isLast = isLast || !isRequestOver || request.head.headerFields[.connection] == "close"
        if isLast {
            let others = response.headers[.connection].map { "\($0), " } ?? ""
            if !others.contains("close") { response.headers[.connection] = others + "close" }
        }
        let head = HTTPResponse(status: response.status, headerFields: response.headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        switch response.body {
        case .bytes(let bytes):
            outgoing = bytes
            state = .writing
            writeOutgoing()
        case .stream(let stream):
            isLast = true
            self.request = nil
            state = .streaming(stream)
            stream.begin(on: ResponseWriter(self))
        }
    }

    private func note(_ refused: Response.Refused, _ request: Request) {
        let fields = request.head.headerFields
        server.events.noteRefused(
            refused,
            request.method.rawValue,
            request.target.path,
            origin: fields[.origin],
            by: client.address(forwarded: fields.values(of: .forwardedFor))
        )
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
        _ = keep()
        finish()
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// A part of the answer's body, to be flushed.
    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        context.write(wrapOutboundOut(.body(bytes)), promise: nil)
        guard case .streaming = state else { return }
        guard !isWritable else {
            unread = 0
            return
        }
        unread += bytes.readableBytes
        // Who reads slowly keeps more than may be kept: not here, in the midst of a stream's turn.
        if keep() != nil { context.eventLoop.execute { self.close() } }
    }

    /// The answer is complete.
    ///
    /// The state changes before anything is flushed, which may at once call back to here.
    func finish() {
        guard let context else { return }
        guard isLast else {
            state = .awaitingRequest
            // An idle connection keeps nothing of it.
            request = nil
            context.write(wrapOutboundOut(.end(nil)), promise: nil)
            flush()
            proceed()
            return limitBody()
        }
        // The end of a stream is not waited for as long as an answer is.
        if case .streaming = state { limit(Self.closeTimeout) { $0.close() } }
        state = .ending
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in
            self.isAnswerWritten = true
            self.closeAtEnd()
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
        proceed()
    }

    /// Closes once the last answer is written and its request is over, or some time is.
    func closeAtEnd() {
        guard case .ending = state, isAnswerWritten else { return }
        if isRequestOver { close() } else if deadline == nil { limit(Self.closeTimeout) { $0.close() } }
    }

    func discard(_ bytes: ByteBuffer) {
        discarded += bytes.readableBytes
        guard discarded >= Self.maximumDiscarded else { return }
        isRequestOver = true
        closeAtEnd()
    }

    /// Closes after what is written.
    func closeAfterAnswers() {
        guard let context else { return }
        state = .ending
        isRequestOver = true
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in self.close() }
        // No bytes, behind those that are not written yet.
        context.writeAndFlush(wrapOutboundOut(.body(ByteBuffer())), promise: written)
    }

    func close() { context?.close(promise: nil) }
}
