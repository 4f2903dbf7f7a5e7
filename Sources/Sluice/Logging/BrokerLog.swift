import BrokerCore
import CoreRuntime
import Foundation
import Logging

/// The log of a running broker: events of all parts and our own words, through one writer, to standard error.
struct BrokerLog: Sendable {
    /// For the words of libraries; what the broker has to say are `events`.
    let logger: Logger
    let events: EventLog
    private let writer: LogWriter

    init(_ configuration: LogConfiguration) {
        let isJSON = configuration.format == .json
        let writer = LogWriter(STDERR_FILENO) { count in
            let kind = Event.Kind.linesLeftOut
            let level = "\(Logger.Level.warning)"
            return isJSON
                ? JSONLogHandler.line(level: level, words: kind.words, ["event": kind.rawValue, "count": count])
                : TextLogHandler.line(
                    level: level,
                    words: kind.words,
                    [("event", kind.rawValue), ("count", "\(count)")]
                )
        }
        let handler: any LogHandler = isJSON ? JSONLogHandler(writer) : TextLogHandler(writer)
        var logger = Logger(label: "sluice") { _ in handler }
        logger.logLevel = configuration.level
        self.writer = writer
        self.logger = logger
        events = EventLog(from: Event.Level(configuration.level)) { [logger] event in
            logger.log(level: Logger.Level(event.level), "\(event.kind.words)", metadata: event.metadata)
        }
    }

    /// Waits a little until all has been written: to be called before the process ends.
    func flush() {
        events.tellLeftOut()
        writer.flush()
    }
}

extension Event {
    fileprivate var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["event": "\(kind.rawValue)"]
        for field in fields {
            switch field.value {
            case .text(let text)?: metadata[field.key.rawValue] = .string(text)
            case .number(let number)?: metadata[field.key.rawValue] = .stringConvertible(number)
            case nil: break
            }
        }
        return metadata
    }
}

extension Event.Level {
    /// nil for what only those want who want no events.
    fileprivate init?(_ level: Logger.Level) {
        switch level {
        case .trace, .debug: self = .debug
        case .info: self = .info
        case .notice: self = .notice
        case .warning: self = .warning
        case .error: self = .error
        case .critical: return nil
        }
    }
}

extension Logger.Level {
    fileprivate init(_ level: Event.Level) {
        switch level {
        case .debug: self = .debug
        case .info: self = .info
        case .notice: self = .notice
        case .warning: self = .warning
        case .error: self = .error
        }
    }
}
