import HTTPServer
import HTTPTypes

/// What a browser is told before it lets a page of another origin make a request (the Fetch standard's CORS protocol).
enum Preflight {
    /// Seconds a browser may remember it.
    private static let maximumAge = "600"
    /// What a path has where there is none: that is said to the request itself, when a page can read it.
    private static let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
    private static let fields =
        "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, "
        + PublishOptions.userPropertyField

    /// Fields of answers that pages of other origins may read.
    static let exposedFields =
        "ETag, Idempotency-Replayed, Retry-After, Preference-Applied, "
        + "\(PublishOptions.userPropertyField), \(PublishOptions.userPropertyField)-Count"

    /// Fields that mean nothing here do no harm: libraries send some of their own with each request.
    static func response(to head: HTTPRequest, _ route: Route?) -> Response {
        let methods = (route?.methods ?? methods).joined(separator: ", ")
        let asked = head.headerFields.values(of: .requestedFields).joined(separator: ", ")
        return Response(
            status: .noContent,
            headers: [
                .allow: methods,
                .accessControlAllowMethods: methods,
                .accessControlAllowHeaders: asked.isEmpty ? fields : asked,
                .accessControlMaxAge: maximumAge,
            ]
        )
    }
}
