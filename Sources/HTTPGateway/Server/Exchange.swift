import HTTPTypes

/// One request with all that is needed to answer it, but its body.
struct Exchange: Sendable {
    let method: HTTPRequest.Method
    let fields: HTTPFields
    let query: Query
    let client: Client

    /// Who asks.
    ///
    /// - Throws: 400 or 401 when it can't be understood.
    func identity() throws(Problem) -> Identity {
        try Identity(query, authorization: fields[.authorization], remoteAddress: client.remoteAddress)
    }
}
