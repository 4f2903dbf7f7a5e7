package import BrokerCore
package import JSONMessages
package import MQTTCodec
package import NIOCore

/// How a stream of messages is written.
package enum EventFormat: Sendable, CaseIterable {
    /// The HTML standard's text/event-stream.
    case serverSentEvents
    /// One JSON object a line; an empty line has no meaning.
    case jsonLines

    /// Milliseconds a browser waits before it reconnects.
    private static let retry = 2_000

    package var mediaType: String {
        switch self {
        case .serverSentEvents: "text/event-stream"
        case .jsonLines: "application/x-ndjson"
        }
    }

    /// What a stream begins with.
    ///
    /// - Parameter isReset: the client named a last event that is not of this session, or too old: what it has missed is unknown.
    package func opening(isReset: Bool) -> ByteBuffer {
        var buffer = ByteBuffer()
        if self == .serverSentEvents { buffer.writeString("retry: \(Self.retry)\n\n") }
        if isReset { write(Notice(event: "reset", reason: nil), to: &buffer) }
        return buffer
    }

    /// Appends a message, and before it how many of QoS 0 are missing there.
    package func write(
        _ delivery: Delivery,
        epoch: String,
        at now: NIODeadline,
        by encoder: MessageEncoder,
        to buffer: inout ByteBuffer
    ) {
        if delivery.lost > 0 { write(Notice(dropped: delivery.lost), to: &buffer) }
        let id = EventID(epoch: epoch, sequence: delivery.sequence).description
        switch self {
        case .serverSentEvents:
            buffer.writeStaticString("id: ")
            buffer.writeString(id)
            buffer.writeStaticString("\ndata: {")
        case .jsonLines:
            buffer.writeStaticString("{\"id\":\"")
            buffer.writeString(id)
            buffer.writeStaticString("\",")
        }
        buffer.writeImmutableBuffer(encoder.members(of: delivery, at: now))
        buffer.writeStaticString(self == .serverSentEvents ? "}\n\n" : "}\n")
    }

    /// What keeps a silent stream open.
    package var heartbeat: ByteBuffer {
        switch self {
        case .serverSentEvents: ByteBuffer(string: ":\n\n")
        case .jsonLines: ByteBuffer(string: "\n")
        }
    }

    /// The final event for a client whose connection the broker has ended.
    package func closing(_ reason: ReasonCode) -> ByteBuffer {
        var buffer = ByteBuffer()
        let event = reason == .sessionTakenOver ? "takeover" : "disconnect"
        write(Notice(event: event, reason: reason), to: &buffer)
        return buffer
    }

    private struct Notice: Encodable {
        var event: String?
        let reasonCode: UInt8?
        let reason: String?
        /// Messages that the client was too slow for.
        let count: Int?

        enum CodingKeys: String, CodingKey {
            case event
            case reasonCode = "reason_code"
            case reason
            case count
        }

        init(event: String, reason: ReasonCode?) {
            self.event = event
            reasonCode = reason?.rawValue
            self.reason = reason?.name
            count = nil
        }

        init(dropped: Int) {
            event = "dropped"
            reasonCode = nil
            reason = nil
            count = dropped
        }
    }

    private func write(_ notice: Notice, to buffer: inout ByteBuffer) {
        var notice = notice
        if self == .serverSentEvents {
            buffer.writeString("event: \(notice.event ?? "")\ndata: ")
            notice.event = nil
        }
        buffer.writeImmutableBuffer(JSON.encode(notice))
        buffer.writeString(self == .serverSentEvents ? "\n\n" : "\n")
    }
}
