import HTTPServer
package import MQTTCodec

/// A topic as the rest of a path: one segment is one topic level, decoded exactly once; empty levels are legal.
package enum TopicPath {
    /// - Parameter path: what follows `/v1/topics/`, as it came.
    /// - Throws: 400 when a segment is not decodable, or would be more than one level.
    package static func topic(_ path: String) throws(Problem) -> TopicName {
        var levels: [String] = []
        for segment in path.pieces(between: UInt8(ascii: "/")) {
            guard let bytes = PercentEncoding.decode(segment) else {
                throw .badRequest("the path is not percent-encoded: \(segment)", .topicNameInvalid)
            }
            guard !bytes.contains(UInt8(ascii: "/")) else {
                throw .badRequest("an encoded slash inside a topic level: use ?topic= instead", .topicNameInvalid)
            }
            guard let level = String(validating: bytes, as: UTF8.self) else {
                throw .badRequest("a topic level is not UTF-8", .topicNameInvalid)
            }
            levels.append(level)
        }
        return try name(levels.joined(separator: "/"))
    }

    /// - Throws: 400 with what is wrong with the Topic Name.
    static func name(_ string: String) throws(Problem) -> TopicName {
        do {
            return try TopicName(string)
        } catch {
            throw .badRequest(error.description, .topicNameInvalid)
        }
    }
}
