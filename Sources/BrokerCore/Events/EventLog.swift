import NIOConcurrencyHelpers
package import NIOCore

/// Takes events from all parts of the broker, on any thread, and passes on as many as may be: a client that makes mistakes
/// without end neither fills the log nor hides what others do.
package final class EventLog: Sendable {
    private let threshold: Event.Level?
    private let pace = NIOLockedValueBox(EventPace())
    private let write: @Sendable (Event) -> Void

    /// - Parameters:
    ///   - threshold: what matters less is not told; nil tells nothing.
    ///   - write: on the thread of whoever tells; it must not block.
    package init(from threshold: Event.Level?, write: @escaping @Sendable (Event) -> Void) {
        self.threshold = threshold
        self.write = write
    }

    /// Tells nothing.
    package static let silent = EventLog(from: nil) { _ in }

    /// Something has happened.
    ///
    /// - Parameters:
    ///   - client: whose share of the lines it takes; nil where that is not known.
    ///   - level: nil is the kind's own.
    ///   - fields: not asked for when nobody is told.
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

    /// The same, for those who have the network alone; `fields` has the address.
    func note(
        _ kind: Event.Kind,
        of network: ClientNetwork?,
        level: Event.Level?,
        _ fields: () -> [Event.Field]
    ) {
        guard isTold(level ?? kind.level), wants(level ?? kind.level, kind, network, .now()) else { return }
        write(Event(kind, level: level, fields()))
    }

    private func isTold(_ level: Event.Level) -> Bool { threshold.map { level >= $0 } ?? false }

    /// What is told to those who debug is told whole.
    private func wants(
        _ level: Event.Level,
        _ kind: Event.Kind,
        _ network: ClientNetwork?,
        _ now: @autoclosure () -> NIODeadline
    ) -> Bool {
        guard level > .debug, kind.isByClients else { return true }
        return pace.withLockedValue { $0.admits(kind, network, at: now()) }
    }

    /// Tells how many lines were left out; to be called now and then.
    package func tellLeftOut() {
        let leftOut = pace.withLockedValue { $0.takeLeftOut() }
        for (kind, count) in leftOut { write(Event(.linesLeftOut, [.kind(kind), .count(count)])) }
    }
}
