/// Why bytes are not a packet the peer may send.
package struct MalformedPacket: Error, Sendable, Equatable, CustomStringConvertible {
    /// What goes on the wire: Malformed Packet 0x81, Protocol Error 0x82, Packet too large 0x95 ...
    package let reason: ReasonCode
    /// What goes into the log.
    package let detail: String

    package init(_ reason: ReasonCode, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }

    static func malformed(_ detail: String) -> MalformedPacket { MalformedPacket(.malformedPacket, detail) }

    static func protocolError(_ detail: String) -> MalformedPacket { MalformedPacket(.protocolError, detail) }

    static func tooManyFilters(_ maximum: Int) -> MalformedPacket {
        MalformedPacket(.quotaExceeded, "more than \(maximum) Topic Filters in one packet")
    }

    package var description: String { "\(reason.name): \(detail)" }
}
