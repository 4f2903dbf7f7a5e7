import BrokerCore
import MQTTCodec

/// What a line of an access control file allows.
struct Access: OptionSet {
    let rawValue: UInt8

    static let read = Access(rawValue: 1)
    static let write = Access(rawValue: 2)
}

/// A Topic Filter that an access control file allows or denies; in a pattern `%u` and `%c` stand for the client.
struct TopicRule: Sendable {
    private enum Part: Sendable {
        case text([UInt8])
        case userName
        case clientID
    }

    let access: Access
    /// Of its file, counted from 1.
    let line: Int
    private let parts: [Part]
    private let needsUserName: Bool
    /// Topics that a pattern matches begin with it; so most patterns need not be filled in to see that they don't.
    private let start: [UInt8]

    /// - Parameters:
    ///   - filter: a valid Topic Filter.
    ///   - isPattern: whether `%u` and `%c` mean something.
    init(_ filter: String, isPattern: Bool, access: Access, line: Int = 0) {
        self.access = access
        self.line = line
        var parts: [Part] = []
        var text: [UInt8] = []
        var rest = Array(filter.utf8)[...]
        while let byte = rest.popFirst() {
            let placeholder: Part? =
                switch (isPattern && byte == UInt8(ascii: "%"), rest.first) {
                case (true, UInt8(ascii: "u")): .userName
                case (true, UInt8(ascii: "c")): .clientID
                default: nil
                }
            guard let placeholder else {
                text.append(byte)
                continue
            }
            rest.removeFirst()
            if !text.isEmpty { parts.append(.text(text)) }
            text = []
            parts.append(placeholder)
        }
        if !text.isEmpty || parts.isEmpty { parts.append(.text(text)) }
        self.parts = parts
        start =
            if parts.count > 1, case .text(let text) = parts[0] {
                Array(text.prefix { $0 != UInt8(ascii: "+") })
            } else {
                []
            }
        needsUserName = parts.contains { if case .userName = $0 { true } else { false } }
    }

    /// Calls `body` with the Topic Filter for a client.
    ///
    /// - Returns: nil when there is none, for want of a user name.
    func withFilter<Result>(for client: ClientIdentity, _ body: (RawSpan) -> Result) -> Result? {
        if parts.count == 1, case .text(let bytes) = parts[0] { return body(bytes.span.bytes) }
        if needsUserName, client.userName == nil { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            switch part {
            case .text(let text): bytes += text
            case .userName: bytes += (client.userName ?? "").utf8
            case .clientID: bytes += client.clientID.utf8
            }
        }
        return body(bytes.span.bytes)
    }

    /// Whether it begins with `$` as it is written; else it has nothing to say of topics that do, whatever a client is
    /// called [MQTT-4.7.2-1].
    private var isReserved: Bool {
        if case .text(let bytes) = parts[0] { bytes.first == UInt8(ascii: "$") } else { false }
    }

    /// Whether it is about that topic.
    func matches(_ topic: RawSpan, _ client: ClientIdentity) -> Bool {
        if topic.first == UInt8(ascii: "$"), !isReserved { return false }
        guard topic.starts(with: start) else { return false }
        return withFilter(for: client) { $0.matchesAsFilter(topic) } ?? false
    }

    /// Whether some topic may match both it and a filter that a client subscribes to.
    func overlaps(_ filter: RawSpan, _ client: ClientIdentity) -> Bool {
        if filter.first == UInt8(ascii: "$"), !isReserved { return false }
        return withFilter(for: client) { $0.overlapsAsFilter(filter) } ?? false
    }
}

extension RawSpan {
    fileprivate var first: UInt8? { isEmpty ? nil : self[0] }

    fileprivate func starts(with bytes: [UInt8]) -> Bool {
        guard byteCount >= bytes.count else { return false }
        for place in bytes.indices where self[place] != bytes[place] { return false }
        return true
    }

    fileprivate subscript(place: Int) -> UInt8 { unsafeLoad(fromByteOffset: place, as: UInt8.self) }

    /// Whether a topic matches this Topic Filter; first levels that begin with `$` are the caller's.
    fileprivate func matchesAsFilter(_ topic: RawSpan) -> Bool {
        var place = 0
        var topicPlace = 0
        while place < byteCount {
            switch self[place] {
            case UInt8(ascii: "#"): return true
            case UInt8(ascii: "+"):
                topicPlace = topic.endOfLevel(from: topicPlace)
                place += 1
            case let byte:
                guard topicPlace < topic.byteCount else { return endsInAnything(from: place) }
                guard topic[topicPlace] == byte else { return false }
                place += 1
                topicPlace += 1
            }
        }
        return topicPlace == topic.byteCount
    }

    /// Whether some topic matches both Topic Filters.
    fileprivate func overlapsAsFilter(_ other: RawSpan) -> Bool {
        var place = 0
        var otherPlace = 0
        while true {
            let end = endOfLevel(from: place)
            let otherEnd = other.endOfLevel(from: otherPlace)
            let level = extracting(place..<end)
            let otherLevel = other.extracting(otherPlace..<otherEnd)
            if level.isWildcard("#") || otherLevel.isWildcard("#") { return true }
            guard level.isWildcard("+") || otherLevel.isWildcard("+") || level.hasSameBytes(as: otherLevel) else {
                return false
            }
            if end == byteCount || otherEnd == other.byteCount {
                return (end == byteCount || endsInAnything(from: end))
                    && (otherEnd == other.byteCount || other.endsInAnything(from: otherEnd))
            }
            place = end + 1
            otherPlace = otherEnd + 1
        }
    }

    /// Whether all that is left is `/#`, which stands for the level above, too (MQTT 5.0 §4.7.1.2).
    private func endsInAnything(from place: Int) -> Bool {
        byteCount - place == 2 && self[place] == UInt8(ascii: "/") && self[place + 1] == UInt8(ascii: "#")
    }

    private func endOfLevel(from place: Int) -> Int {
        var end = place
        while end < byteCount, self[end] != UInt8(ascii: "/") { end += 1 }
        return end
    }

    private func isWildcard(_ wildcard: Unicode.Scalar) -> Bool { byteCount == 1 && self[0] == UInt8(ascii: wildcard) }

    private func hasSameBytes(as other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        for place in 0..<byteCount where self[place] != other[place] { return false }
        return true
    }
}
