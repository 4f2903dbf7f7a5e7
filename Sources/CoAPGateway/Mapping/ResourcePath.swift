import MQTTCodec

/// What a request's path and query point at; sans I/O.
package enum ResourcePath: Sendable, Equatable {
    /// `/.well-known/core` (RFC 6690 §4).
    case wellKnownCore
    /// `/mqtt/connection`: a session's beginning, heartbeat and end, as EMQX has it.
    case connection
    /// A topic or filter, not yet checked, and the segment it stands under: `ps`, `r`, or nil for a bare one.
    case topic(String, under: String?)

    static let wellKnownCorePath = [".well-known", "core"]

    /// One segment is one level; libcoap's client has percent-decoded it already, and nobody does so again.
    ///
    /// - Throws: 4.04 for a path nothing is under, 4.00 for one that can't be a topic.
    package init(path: [String], topicArgument: String?, bareTopics: Bool) throws(CoAPFailure) {
        if path == Self.wellKnownCorePath {
            self = .wellKnownCore
            return
        }
        if path.count == 2 {
            if path[0] == "mqtt", path[1] == "connection" {
                self = .connection
                return
            }
        }
        let root = path.first.flatMap { ["ps", "r"].contains($0) ? $0 : nil }
        guard root != nil || (bareTopics && !path.isEmpty) else {
            throw CoAPFailure(.notFound, "topics are under /ps/")
        }
        let levels = path.dropFirst(root == nil ? 0 : 1)
        for level in levels {
            guard !level.utf8.contains(UInt8(ascii: "/")) else {
                throw CoAPFailure(.topicNameInvalid, "a path segment is one topic level and can't contain a slash")
            }
            // RFC 7252 §5.10.1.
            guard level != ".", level != ".." else {
                throw CoAPFailure(.topicNameInvalid, "a path segment can't be . or ..")
            }
        }
        guard let topicArgument else {
            guard !levels.isEmpty else { throw CoAPFailure(.topicNameInvalid, "the path names no topic") }
            self = .topic(levels.count == 1 ? levels[levels.startIndex] : levels.joined(separator: "/"), under: root)
            return
        }
        guard levels.isEmpty else {
            throw CoAPFailure(.topicNameInvalid, "both the path and the query name a topic")
        }
        self = .topic(topicArgument, under: root)
    }
}
