package import BrokerCore
import NIOConcurrencyHelpers
package import NIOCore

/// Takes events from all parts of the broker, on any thread, and passes them on at a limited rate.
///
/// A client that makes mistakes without end neither fills the log nor hides the events of others.
package final class EventLog: EventSink {
    private let threshold: Event.Level?
    private let pace = NIOLockedValueBox(EventPace())
    private let write: @Sendable (Event) -> Void

    /// - Parameters:
    ///   - threshold: the lowest level that is logged; nil logs nothing.
    /// - write: runs on the thread that logs the event; it must not block.
    package init(from threshold: Event.Level?, write: @escaping @Sendable (Event) -> Void) {
        self.threshold = threshold
        self.write = write
    }

    /// The log that drops all events.
    package static let silent = EventLog(from: nil) { _ in }

    /// Logs an event.
    ///
    /// - Parameters:
    ///   - client: the client whose rate it uses; nil when the client is not known.
    ///   - level: nil is the kind's level.
    ///   - fields: evaluated only when the event is logged.
    package func note(
        _ kind: Event.Kind,
        by client: @autoclosure () -> ClientAddress? = nil,
        level: Event.Level? = nil,
        at now: NIODeadline? = nil,
        _ fields: @autoclosure () -> [Event.Field]
    ) {
        guard isTold(level ?? kind.level) else { return }
        let client = client()
        guard wants(level ?? kind.level, kind, client?.network, now ?? .now()) else { return }
        var all: [Event.Field] = []
        if let client { all.append(.address(client.description)) }
        write(Event(kind, level: level, all + fields()))
    }

    /// The same for the core, which knows the network alone; `fields` has the address.
    package func note(
        _ kind: Event.Kind,
        of network: ClientNetwork?,
        level: Event.Level?,
        _ fields: () -> [Event.Field]
    ) {
        guard isTold(level ?? kind.level), wants(level ?? kind.level, kind, network, .now()) else { return }
        write(Event(kind, level: level, fields()))
    }

    private func isTold(_ level: Event.Level) -> Bool { threshold.map { level >= $0 } ?? false }

    /// Whether the rate limit admits the event; events of the debug level have no limit.
    private func wants(
        _ level: Event.Level,
        _ kind: Event.Kind,
        _ network: ClientNetwork?,
        _ now: @autoclosure () -> NIODeadline
    ) -> Bool {
        guard level > .debug, kind.isByClients else { return true }
        return pace.withLockedValue { $0.admits(kind, network, at: now()) }
    }

    /// Logs the number of suppressed events; to be called at intervals.
    package func tellLeftOut() {
        let leftOut = pace.withLockedValue { $0.takeLeftOut() }
        for (kind, count) in leftOut { write(Event(.linesLeftOut, [.kind(kind), .count(count)])) }
    }
}
