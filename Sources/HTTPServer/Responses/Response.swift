package import HTTPTypes
package import NIOCore

/// The answer to a request.
package struct Response: Sendable {
    /// What follows the header.
    package enum Body: Sendable {
        case bytes(ByteBuffer)
        /// Goes on until one of the two leaves.
        case stream(any ResponseStream)
    }

    /// Why a request was not served, for the log.
    package struct Refused: Sendable {
        package let status: HTTPResponse.Status
        package let detail: String
        /// Whether the log has it already, from whoever has refused the client.
        package let isTold: Bool

        package init(status: HTTPResponse.Status, detail: String, isTold: Bool = false) {
            self.status = status
            self.detail = detail
            self.isTold = isTold
        }
    }

    package var status: HTTPResponse.Status
    package var headers: HTTPFields
    package let body: Body
    /// Why the request was not served; nil when it was.
    package var refused: Refused?

    package init(status: HTTPResponse.Status, headers: HTTPFields = [:], body: Body) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// - Parameter isHead: says how long the body is, and leaves it out (RFC 9110 §9.3.2).
    package init(
        status: HTTPResponse.Status,
        headers: HTTPFields = [:],
        body: ByteBuffer = ByteBuffer(),
        isHead: Bool = false
    ) {
        self.init(status: status, headers: headers, body: .bytes(isHead ? ByteBuffer() : body))
        // RFC 9110 §8.6.
        if status != .noContent, status != .notModified {
            self.headers[.contentLength] = "\(body.readableBytes)"
        }
    }

    /// The same with one more field.
    package func with(_ name: String, _ value: String) -> Response {
        guard let name = HTTPField.Name(name) else { return self }
        var response = self
        response.headers[name] = value
        return response
    }
}
