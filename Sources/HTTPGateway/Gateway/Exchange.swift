import HTTPServer
import HTTPTypes

/// One request with all that is needed to answer it, but its body.
struct Exchange: Sendable {
    let method: HTTPRequest.Method
    /// Path and query, as they came.
    let target: String
    let fields: HTTPFields
    let query: Query
    let client: Client
    /// Whether `access_token=` may stand in for a header: for streams, since a browser's EventSource sets none.
    let takesTokenInQuery: Bool

    /// Who asks.
    ///
    /// - Throws: 400, 401 or 403 when it can't be understood or is not so.
    func identity(_ tokens: AccessTokens) throws(Problem) -> Identity {
        try Identity(
            try authorization(),
            clientID: try query.string("clientid") ?? "",
            address: client.address(forwarded: fields.values(of: .forwardedFor)),
            transportIdentity: client.presence.transportIdentity,
            tokens: tokens
        )
    }

    private func authorization() throws(Problem) -> Authorization {
        guard let token = try query.string("access_token") else { return try Authorization(fields[.authorization]) }
        guard takesTokenInQuery else {
            throw .badRequest("access_token= is for /v1/subscribe only: use Authorization: Bearer")
        }
        guard fields[.authorization] == nil else {
            throw .badRequest("a token in the query and credentials in the header: only one of them (RFC 6750 §2)")
        }
        return .bearer(token)
    }
}
