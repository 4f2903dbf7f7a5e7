/// Which web pages may use the gateway (the Fetch standard's CORS protocol, RFC 6455 §10.2).
package struct OriginPolicy: Sendable {
    /// Origins as browsers send them, `https://dash.example`; empty is any.
    let allowed: [String]

    /// - Parameter allowed: as browsers send them; empty is any.
    package init(allowed: [String]) { self.allowed = allowed }

    /// Whether a request from a page of that origin is served; what is no browser sends none.
    package func allows(_ origin: String?) -> Bool {
        guard let origin, !allowed.isEmpty else { return true }
        return allowed.contains { $0.lowercased() == origin.lowercased() }
    }
}
