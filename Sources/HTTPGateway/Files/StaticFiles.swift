import HTTPServer
import HTTPTypes
import JSONMessages
import NIOCore

/// A file that the gateway itself serves; they are part of the executable.
package enum StaticFile: String, Sendable, CaseIterable {
    case page = "/"
    case style = "/live/style.css"
    case script = "/live/script.js"
    case socket = "/live/socket.js"
    case icon = "/favicon.svg"
    case openAPI = "/v1/openapi.yaml"

    /// - Returns: nil for a path that is none's.
    package init?(path: String) { self.init(rawValue: path) }

    /// Whether it belongs to the live page.
    package var isLivePage: Bool { self != .openAPI }

    fileprivate var bytes: [UInt8] {
        switch self {
        case .page: PackageResources.page_html
        case .style: PackageResources.style_css
        case .script: PackageResources.script_js
        case .socket: PackageResources.socket_js
        case .icon: PackageResources.favicon_svg
        case .openAPI: PackageResources.openapi_yaml
        }
    }

    fileprivate var mediaType: String {
        switch self {
        case .page: "text/html; charset=utf-8"
        case .style: "text/css; charset=utf-8"
        case .script, .socket: "text/javascript; charset=utf-8"
        case .icon: "image/svg+xml"
        // RFC 9512; OpenAPI 3.1 §9.
        case .openAPI: "application/yaml"
        }
    }
}

/// The files with what the configuration has to say in them.
struct StaticFiles: Sendable {
    private struct File {
        let body: ByteBuffer
        let entityTag: String
    }

    /// The page runs what came with it, talks to where it came from, and is shown in no other page.
    private static let policy = """
        default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
        form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'
        """

    private let files: [StaticFile: File]

    /// - Parameter ticket: by which the live page's WebSocket is known to be its own, as a query has it.
    init(websocketPath: String, ticket: String) {
        var files: [StaticFile: File] = [:]
        for file in StaticFile.allCases {
            let text = String(decoding: file.bytes, as: UTF8.self)
                // From where the page is: a proxy may have it under a path of its own.
                .replacing("{{websocket_path}}", with: ".\(websocketPath.escapedForHTML)?\(ticket)")
            var hash = EntityTag.Hash()
            hash.combine(text.utf8Span.span.bytes)
            files[file] = File(
                body: ByteBuffer(string: text),
                entityTag: "\"\(Token.hexadecimal(hash.value))\""
            )
        }
        self.files = files
    }

    func response(_ name: StaticFile, _ preconditions: Preconditions, isHead: Bool) throws(Problem) -> Response {
        guard let file = files[name] else { throw .notFound("nothing is at \(name.rawValue)") }
        var fields: HTTPFields = [.eTag: file.entityTag, .cacheControl: "no-cache"]
        switch preconditions.verdict(file.entityTag, isRead: true) {
        case .failed: throw .preconditionFailed
        case .notModified: return Response(status: .notModified, headers: fields)
        case .proceed: break
        }
        fields[.contentType] = name.mediaType
        fields[.xContentTypeOptions] = "nosniff"
        fields[.contentSecurityPolicy] = Self.policy
        return Response(status: .ok, headers: fields, body: file.body, isHead: isHead)
            .with("Referrer-Policy", "no-referrer")
            .with("Cross-Origin-Opener-Policy", "same-origin")
            .with("Cross-Origin-Resource-Policy", name.isLivePage ? "same-origin" : "cross-origin")
    }
}

extension String {
    /// As the value of an attribute in quotation marks.
    fileprivate var escapedForHTML: String {
        replacing("&", with: "&amp;").replacing("\"", with: "&quot;").replacing("<", with: "&lt;")
    }
}
