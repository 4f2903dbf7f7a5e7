import HTTPTypes
package import NIOCore

/// An application behind a `Server`: its routes and its words.
///
/// The server refuses by itself what HTTP forbids, what the rules for hosts and origins forbid, and what exceeds its
/// limits. It calls the responder on the event loop of the request's connection.
package protocol Responder: AnyObject, Sendable {
    /// The application's own web pages, for the rules about origins.
    var pages: OwnPages { get }

    /// Where WebSockets are, and which; nil for none.
    var webSockets: WebSocketHandshake? { get }

    /// Decides whether a request is served, by its head, before its body is read.
    func admit(_ request: Request) -> Admission

    /// Answers a request that was admitted; its body is complete.
    func answer(_ request: Request, _ body: ByteBuffer) async -> Response

    /// The answer to a request that the server refuses.
    ///
    /// - Parameter isHead: leaves the body out.
    func response(to refusal: Refusal, isHead: Bool) -> Response

    /// Adds handlers to the pipeline of a connection that has become a WebSocket, a `WebSocketCodec` first.
    ///
    /// - Throws: anything; the connection is closed then.
    func open(_ webSocket: OpenedWebSocket) throws
}

extension Responder {
    package var pages: OwnPages { OwnPages() }

    package var webSockets: WebSocketHandshake? { nil }

    /// Serves each request, and reads no bodies.
    package func admit(_ request: Request) -> Admission { .served(maximumBody: nil) }

    /// The refusal's detail as plain text.
    package func response(to refusal: Refusal, isHead: Bool) -> Response {
        var fields = refusal.headers
        fields[.contentType] = "text/plain; charset=utf-8"
        fields[.cacheControl] = "no-store"
        let body = ByteBuffer(string: refusal.detail + "\n")
        var response = Response(status: refusal.status, headers: fields, body: body, isHead: isHead)
        response.refused = Response.Refused(status: refusal.status, detail: refusal.detail)
        return response
    }

    package func open(_ webSocket: OpenedWebSocket) throws { throw ChannelError.operationUnsupported }
}

/// What becomes of a request, by its head.
package enum Admission: Sendable {
    /// It is answered once its body is there.
    ///
    /// - maximumBody: bytes of the body at most; nil does not read it.
    case served(maximumBody: Int?)
    /// It is answered at once, and its body is not read.
    case refused(Response)
}
