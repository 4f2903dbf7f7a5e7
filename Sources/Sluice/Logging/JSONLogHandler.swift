import Foundation
import Logging

/// Writes log events to standard error as one JSON object a line.
struct JSONLogHandler: LogHandler {
    /// The keys of a line, in this order; metadata follow, under their own names.
    private struct Line: Encodable {
        let time: String
        let level: String
        let message: String
        let error: String?
        let metadata: [String: String]
    }

    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    private let encoder: JSONEncoder

    init() {
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let line = Line(
            time: Date.now.ISO8601Format(.iso8601(timeZone: .gmt, includingFractionalSeconds: true)),
            level: event.level.rawValue,
            message: event.message.description,
            error: event.error.map { "\($0)" },
            metadata: all.mapValues(\.description)
        )
        guard var data = try? encoder.encode(line) else { return }
        data.append(UInt8(ascii: "\n"))
        // One write a line, so that lines of several threads don't mix.
        try? FileHandle.standardError.write(contentsOf: data)
    }
}
