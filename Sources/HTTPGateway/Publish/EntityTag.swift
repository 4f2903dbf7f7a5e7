package import HTTPTypes
import MQTTCodec

/// Entity tags (RFC 9110 §8.8.3).
enum EntityTag {
    /// FNV-1a, 64 bits: the same in every process, so that a restart does not make copies stale.
    struct Hash {
        private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

        mutating func combine(_ bytes: RawSpan) {
            var hash = value
            for offset in 0..<bytes.byteCount {
                hash = (hash ^ UInt64(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))) &* 0x100_0000_01b3
            }
            value = hash
        }
    }

    /// Whether a list of tags names it.
    ///
    /// - Parameter isWeak: `W/` is of no account (RFC 9110 §8.8.3.2).
    fileprivate static func matches(_ tag: String, _ list: [String], isWeak: Bool) -> Bool {
        list.flatMap { $0.split(separator: ",") }.map(\.trimmed).contains { candidate in
            candidate == "*" || candidate == tag || (isWeak && candidate == "W/\(tag)")
        }
    }
}

/// What a request wants to be so before it is served (RFC 9110 §13).
///
/// Retained messages carry no date, so the conditions by date are left alone.
package struct Preconditions: Sendable {
    private let ifMatch: [String]
    private let ifNoneMatch: [String]

    /// What to do.
    package enum Verdict: Sendable, Equatable {
        case proceed
        case notModified
        case failed
    }

    package init(_ fields: HTTPFields) {
        ifMatch = fields.values(of: .ifMatch)
        ifNoneMatch = fields.values(of: .ifNoneMatch)
    }

    /// Whether there is none.
    var isEmpty: Bool { ifMatch.isEmpty && ifNoneMatch.isEmpty }

    /// - Parameters:
    ///   - tag: of what stands there now; nil when there is nothing.
    ///   - isRead: GET and HEAD are answered with Not Modified where others fail (RFC 9110 §13.2.2).
    package func verdict(_ tag: String?, isRead: Bool) -> Verdict {
        if !ifMatch.isEmpty {
            guard let tag, EntityTag.matches(tag, ifMatch, isWeak: false) else { return .failed }
        }
        guard !ifNoneMatch.isEmpty, let tag, EntityTag.matches(tag, ifNoneMatch, isWeak: true) else {
            return .proceed
        }
        return isRead ? .notModified : .failed
    }
}

extension Problem {
    static let preconditionFailed = Problem(
        .preconditionFailed,
        .implementationSpecificError,
        "the retained message is not the one that If-Match or If-None-Match asks for"
    )
}
