/// `/.well-known/core`: what there is to find (RFC 6690, draft-ietf-core-coap-pubsub).
enum WellKnownCore {
    private static let link = "</ps>;rt=\"core.ps\";ct=40"

    /// The links a query asks for: one `name=value`, the value with a `*` at its end for a prefix (RFC 6690 §4.1).
    static func links(_ query: [String]) -> String {
        guard let filter = query.first else { return link }
        let parts = filter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return "" }
        let values = ["href": "/ps", "rt": "core.ps", "ct": "40"]
        guard let value = values[String(parts[0])] else { return "" }
        let matches = parts[1].last == "*" ? value.hasPrefix(parts[1].dropLast()) : value == parts[1]
        return matches ? link : ""
    }

    /// Answers a request for it.
    static func answer(_ request: CoAPRequest) throws(CoAPFailure) -> CoAPResponse {
        guard request.code == .get else {
            throw CoAPFailure(.methodNotAllowed, "links can only be read")
        }
        guard request.accept == nil || request.accept == 40 else {
            throw CoAPFailure(.notAcceptable, "links are application/link-format")
        }
        var response = CoAPResponse(.content)
        response.contentFormat = 40
        response.payload = .text(links(request.query))
        return response
    }
}
