package import HTTPTypes

/// A request without its body, and who has sent it.
package struct Request: Sendable {
    package let head: HTTPRequest
    package let target: RequestTarget
    package let client: Client

    init(_ head: HTTPRequest, _ client: Client) {
        self.head = head
        self.client = client
        target = RequestTarget(head.path ?? "")
    }

    package var method: HTTPRequest.Method { head.method }

    /// Whether a body follows (RFC 9112 §6.3); one of a length that no number holds does.
    package var hasBody: Bool { head.hasBody }
}

extension HTTPRequest {
    /// Whether a body follows.
    var hasBody: Bool {
        if headerFields[.transferEncoding] != nil { return true }
        guard let length = headerFields[.contentLength] else { return false }
        return Int(length) != 0
    }

    /// Whether Content-Length says that the body has more bytes than it may have.
    func announcesMore(than maximumBody: Int) -> Bool {
        guard let text = headerFields[.contentLength] else { return false }
        return Int(text).map { $0 > maximumBody } ?? true
    }
}
