import Foundation
import Logging

/// Writes log events as text: time, level, words, and fields as `key=value`.
struct TextLogHandler: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    private let writer: LogWriter

    init(_ writer: LogWriter) { self.writer = writer }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: Logging.LogEvent) {
        let fields = LogFields(metadata, event)
        writer.write(
            Self.line(level: "\(event.level)", words: "\(event.message)", fields.all.map { ($0.key, "\($0.value)") })
        )
    }

    static func line(level: String, words: String, _ fields: [(key: String, value: String)]) -> String {
        let time = LogTime.text(in: .current)
        let text = fields.map { " \($0.key)=\($0.value.asField)" }.joined()
        return "\(time) \(level) sluice: \(words.visible)\(text)\n"
    }
}

/// Writes log events as one JSON object a line: `time`, `level`, `message`, and the fields under their own names.
struct JSONLogHandler: LogHandler {
    private enum Value: Encodable {
        case text(String)
        case number(Int)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .number(let number): try container.encode(number)
            }
        }
    }

    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    private let writer: LogWriter

    init(_ writer: LogWriter) { self.writer = writer }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: Logging.LogEvent) {
        var fields: [String: any Sendable] = [:]
        for (key, value) in LogFields(metadata, event).all {
            if case .stringConvertible(let number as Int) = value {
                fields[key] = number
            } else {
                fields[key] = "\(value)"
            }
        }
        writer.write(Self.line(level: "\(event.level)", words: "\(event.message)", fields))
    }

    static func line(level: String, words: String, _ fields: [String: any Sendable]) -> String {
        var line = fields.mapValues { ($0 as? Int).map(Value.number) ?? .text("\($0)") }
        line["time"] = .text(LogTime.text(in: .gmt))
        line["level"] = .text(level)
        line["message"] = .text(words)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(line) else { return "" }
        return String(decoding: data, as: UTF8.self).withVisibleJSON + "\n"
    }
}

/// When a line was written, to the millisecond and with its zone (RFC 3339).
private enum LogTime {
    static func text(in zone: TimeZone) -> String {
        Date.now.formatted(
            Date.ISO8601FormatStyle(timeZoneSeparator: .colon, includingFractionalSeconds: true, timeZone: zone)
        )
    }
}

/// The fields of a line, in an order that is easy to read: who, what, why.
private struct LogFields {
    private static let order = [
        "event", "client_id", "user_name", "protocol", "address", "port", "webhook", "action", "topic", "rule",
    ]

    let all: [(key: String, value: Logger.MetadataValue)]

    init(_ own: Logger.Metadata, _ event: Logging.LogEvent) {
        var fields = own.merging(event.metadata ?? [:]) { $1 }
        if let error = event.error { fields["error"] = "\(error)" }
        all = fields.map { ($0.key, $0.value) }.sorted { Self.place($0.key) < Self.place($1.key) }
    }

    private static func place(_ key: String) -> (Int, String) { (order.firstIndex(of: key) ?? order.count, key) }
}
