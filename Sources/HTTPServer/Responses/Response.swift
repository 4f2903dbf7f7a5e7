import HTTPTypes
import NIOCore

/// The answer to a request.
struct Response {
    /// What follows the header.
    enum Body {
        case bytes(ByteBuffer)
        /// Goes on until one of the two leaves.
        case stream(EventStream)
    }

    var status: HTTPResponse.Status
    var headers: HTTPFields
    let body: Body
    /// Why the request was not served; nil when it was.
    private(set) var problem: Problem?

    init(status: HTTPResponse.Status, headers: HTTPFields = [:], body: Body) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// - Parameter isHead: says how long the body is, and leaves it out (RFC 9110 §9.3.2).
    init(
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

    /// The answer to a request that was not served.
    init(_ problem: Problem, isHead: Bool) {
        var fields = problem.headers
        fields[.contentType] = Problem.contentType
        fields[.cacheControl] = "no-store"
        self.init(status: problem.status, headers: fields, body: problem.json, isHead: isHead)
        self.problem = problem
    }

    /// The same with one more field.
    func with(_ name: String, _ value: String) -> Response {
        guard let name = HTTPField.Name(name) else { return self }
        var response = self
        response.headers[name] = value
        return response
    }
}
