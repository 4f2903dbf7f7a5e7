package import NIOCore

/// A response without an end, which writes as its client reads.
///
/// It is confined to the event loop of its connection.
package protocol ResponseStream: AnyObject, Sendable {
    /// The response's header is written.
    func begin(on response: ResponseWriter)

    /// The client reads again: there is room for more.
    func proceed()

    /// The response is over, or its client has left.
    func end()
}

/// Where a stream writes to.
package struct ResponseWriter {
    private let handler: RequestHandler

    init(_ handler: RequestHandler) { self.handler = handler }

    /// Whether the client reads what is written.
    package var isWritable: Bool { handler.isWritable }

    /// Writes a part of the body, to be flushed.
    package func write(_ bytes: ByteBuffer) { handler.write(bytes) }

    /// Sends what is written.
    package func flush() { handler.flush() }

    /// Ends the response, and with it the connection.
    package func finish() { handler.finish() }
}
