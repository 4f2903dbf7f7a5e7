import HTTPTypes
import NIOCore
import NIOHTTP1

/// Which web pages may use the server (the Fetch standard's CORS protocol and Fetch Metadata, RFC 6455 §10.2).
///
/// A browser takes any page's requests to anywhere, with this machine's own access to it; whatever acts or reads is for
/// pages of our own origin and of those that are listed. What is no browser says nothing of this, and is not asked.
package struct OriginPolicy: Sendable {
    /// Any page's.
    package static let anyOrigin = "*"

    /// In lower case.
    private let allowed: Set<String>
    private let names: HostNames
    private let isEncrypted: Bool
    private let pages: OwnPages

    /// - Parameters:
    ///   - allowed: other origins as browsers send them, `https://dash.example`; `*` is any.
    ///   - isEncrypted: whether the listener's own pages come by https alone.
    init(allowed: [String], names: HostNames, isEncrypted: Bool, pages: OwnPages) {
        self.allowed = Set(allowed.map { $0.lowercased() })
        self.names = names
        self.isEncrypted = isEncrypted
        self.pages = pages
    }

    /// Whether a text is an origin as browsers send it, or any.
    package static func isOrigin(_ text: String) -> Bool {
        if text == anyOrigin || text == "null" { return true }
        guard let mark = text.firstRange(of: "://"), mark.lowerBound > text.startIndex else { return false }
        let rest = text[mark.upperBound...]
        return !rest.isEmpty && rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"/?#@\\".utf8.contains($0) }
    }

    /// Why a request is not served because of where it comes from; whatever it asks for, a WebSocket too.
    ///
    /// - Parameter local: this end of its connection.
    func refusal(of head: HTTPRequestHead, local: SocketAddress?) -> Refusal? {
        let target = RequestTarget(head.uri)
        // The target's authority counts for more than the field (RFC 9112 §3.2.2); HTTP/1.0 needs none, and no browser
        // speaks it.
        let host = target.authority ?? head.headers["Host"].first
        if let host, !names.include(host, local: local) { return .misdirected(host) }
        guard !allowed.contains(Self.anyOrigin) else { return nil }
        let origins = head.headers["Origin"]
        let site = head.headers["Sec-Fetch-Site"].first
        guard !origins.isEmpty || site != nil else { return nil }
        // They do nothing and say the same to all: questions what pages may do, and the files that are a page.
        if [.OPTIONS, .CONNECT].contains(head.method) || pages.isFile(target.path) { return nil }
        guard origins.isEmpty else {
            let isAllowed = origins.allSatisfy { allowed.contains($0.lowercased()) || isOurs($0, site, host, target) }
            return isAllowed ? nil : .originNotAllowed(origins[0], host: host)
        }
        // Without Origin come a page's images and links; `none` is what a user has typed.
        return site == "same-origin" || site == "none" ? nil : .siteNotAllowed
    }

    /// Whether a page that says where it comes from is one of our own.
    private func isOurs(_ origin: String, _ site: String?, _ host: String?, _ target: RequestTarget) -> Bool {
        // Where any name is taken, one's own is no proof; then the list is all there is, if there is one.
        guard names.isRestricted || allowed.isEmpty else { return false }
        // The browser's own word counts: a proxy may have changed Host.
        if let site { return site == "same-origin" }
        if let ticket = pages.ticket, target.query == ticket { return true }
        guard let host, let mark = origin.firstRange(of: "://") else { return false }
        let scheme = origin[..<mark.lowerBound].lowercased()
        guard scheme == "https" || (scheme == "http" && !isEncrypted) else { return false }
        let port = scheme == "https" ? ":443" : ":80"
        func plain(_ authority: some StringProtocol) -> String {
            let text = authority.lowercased()
            return text.hasSuffix(port) ? String(text.dropLast(port.count)) : text
        }
        return plain(origin[mark.upperBound...]) == plain(host)
    }

    /// What `Access-Control-Allow-Origin` says to a page; nil when it may read nothing that is not its own.
    private func allowedOrigin(_ origin: String) -> String? {
        if allowed.contains(Self.anyOrigin) { return Self.anyOrigin }
        return allowed.contains(origin.lowercased()) ? origin : nil
    }

    /// Says in a response whose pages may read it.
    func mark(_ fields: inout HTTPFields, origin: String?) {
        // The answer depends on the origin, whoever asks: a cache has to know.
        if !allowed.isEmpty, !allowed.contains(Self.anyOrigin) { fields[.vary] = "Origin" }
        guard let origin, let allowed = allowedOrigin(origin) else { return }
        fields[.accessControlAllowOrigin] = allowed
        if !pages.exposedFields.isEmpty { fields[.accessControlExposeHeaders] = pages.exposedFields }
    }
}
