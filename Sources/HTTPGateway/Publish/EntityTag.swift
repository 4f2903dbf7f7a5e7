import BrokerCore
import HTTPServer
package import HTTPTypes
import MQTTCodec

/// Entity tags (RFC 9110 §8.8.3).
enum EntityTag {
    /// 64 bits, the same in every process, so that a restart does not make copies stale.
    ///
    /// Values of a megabyte are hashed on the core's loop, so it goes through them eight bytes at a time.
    struct Hash {
        private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

        mutating func combine(_ bytes: RawSpan) { value = bytes.digest(seed: value) }
    }

    /// The tags that a list of them has.
    fileprivate static func list(_ fields: [String]) -> Set<String> {
        var tags: Set<String> = []
        for field in fields {
            for tag in field.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
                tags.insert(Substring(tag).trimmed)
            }
        }
        return tags
    }
}

/// What a request wants to be so before it is served (RFC 9110 §13).
///
/// Retained messages carry no date, so the conditions by date are left alone.
package struct Preconditions: Sendable {
    private let ifMatch: Set<String>
    private let ifNoneMatch: Set<String>

    /// What to do.
    package enum Verdict: Sendable, Equatable {
        case proceed
        case notModified
        case failed
    }

    package init(_ fields: HTTPFields) {
        ifMatch = EntityTag.list(fields.values(of: .ifMatch))
        ifNoneMatch = EntityTag.list(fields.values(of: .ifNoneMatch))
    }

    /// Whether there is none.
    var isEmpty: Bool { ifMatch.isEmpty && ifNoneMatch.isEmpty }

    /// - Parameters:
    ///   - tag: of what stands there now; nil when there is nothing.
    ///   - isRead: GET and HEAD are answered with Not Modified where others fail (RFC 9110 §13.2.2).
    package func verdict(_ tag: String?, isRead: Bool) -> Verdict {
        if !ifMatch.isEmpty {
            guard let tag, !ifMatch.isDisjoint(with: ["*", tag]) else { return .failed }
        }
        // `W/` is of no account here (RFC 9110 §8.8.3.2).
        guard let tag, !ifNoneMatch.isDisjoint(with: ["*", tag, "W/\(tag)"]) else { return .proceed }
        return isRead ? .notModified : .failed
    }
}

extension Problem {
    static let preconditionFailed = Problem(
        .preconditionFailed,
        nil,
        "the retained message is not the one that If-Match or If-None-Match asks for"
    )
}
