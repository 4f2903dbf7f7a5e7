import HTTPTypes

/// What a browser is told before it lets a page of another origin make a request (the Fetch standard's CORS protocol).
enum Preflight {
    /// Seconds a browser may remember it.
    private static let maximumAge = "600"

    static func response(_ route: Route) -> Response {
        Response(
            status: .noContent,
            headers: [
                .allow: route.methods.joined(separator: ", "),
                .accessControlAllowMethods: route.methods.joined(separator: ", "),
                .accessControlAllowHeaders:
                    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, "
                    + PublishOptions.userPropertyField,
                .accessControlMaxAge: maximumAge,
            ]
        )
    }
}

extension OriginPolicy {
    /// Says in a response whose pages may read it.
    func mark(_ fields: inout HTTPFields, origin: String?) {
        // The answer depends on the origin, whoever asks: a cache has to know.
        if !allowed.isEmpty { fields[.vary] = "Origin" }
        guard let origin, allows(origin) else { return }
        fields[.accessControlAllowOrigin] = allowed.isEmpty ? "*" : origin
        fields[.accessControlExposeHeaders] =
            "ETag, Idempotency-Replayed, Retry-After, Preference-Applied, \(PublishOptions.userPropertyField)"
    }
}
