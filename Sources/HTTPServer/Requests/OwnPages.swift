/// What a responder says of its own web pages, for the rules about origins.
package struct OwnPages: Sendable {
    /// Whether a path is a file of a page: it does nothing and says the same to all, so it may be loaded from anywhere.
    package var isFile: @Sendable (_ path: String) -> Bool = { _ in false }
    /// The query of the WebSocket that an own page opens; nil when no page opens one.
    ///
    /// Pages of other origins can't read it. A proxy may have changed Host, and browsers say of a WebSocket no more than
    /// Origin.
    package var ticket: String?
    /// The fields of answers that pages of other origins may read, as Access-Control-Expose-Headers names them.
    package var exposedFields = ""

    package init() {}
}
