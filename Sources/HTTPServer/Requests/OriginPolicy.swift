import JSONMessages
import NIOCore
import NIOHTTP1

/// Which web pages may use the gateway (the Fetch standard's CORS protocol and Fetch Metadata, RFC 6455 §10.2).
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
    /// What the live page shows when it opens a WebSocket, in the query.
    ///
    /// Pages of other origins can't read it. A proxy may have changed Host, and browsers say of a WebSocket no more than Origin.
    let ticket = "page=\(Token.random())"

    /// - Parameters:
    ///   - allowed: other origins as browsers send them, `https://dash.example`; `*` is any.
    ///   - isEncrypted: whether the listener's own pages come by https alone.
    package init(allowed: [String], names: HostNames, isEncrypted: Bool) {
        self.allowed = Set(allowed.map { $0.lowercased() })
        self.names = names
        self.isEncrypted = isEncrypted
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
    func refusal(of head: HTTPRequestHead, local: SocketAddress?) -> Problem? {
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
        if [.OPTIONS, .CONNECT].contains(head.method) || StaticFile(path: target.path) != nil { return nil }
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
        if target.query == ticket { return true }
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
    func allowedOrigin(_ origin: String) -> String? {
        if allowed.contains(Self.anyOrigin) { return Self.anyOrigin }
        return allowed.contains(origin.lowercased()) ? origin : nil
    }

    /// Whether the answer to a request may depend on its Origin.
    var dependsOnOrigin: Bool { !allowed.isEmpty && !allowed.contains(Self.anyOrigin) }
}
