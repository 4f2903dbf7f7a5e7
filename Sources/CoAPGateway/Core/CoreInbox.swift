import BrokerCore
import NIOConcurrencyHelpers

/// What the core, or anybody, has for the CoAP thread: appended under a lock, with one wake-up for what gathers.
///
/// It is bounded by what it carries: an answer for each pending request, and for each client its Receive Maximum and the
/// capacity of its message sink.
package final class CoreInbox: Sendable {
    private let events = NIOLockedValueBox<[CoreEvent]>([])
    private let wake: @Sendable () -> Void

    /// - Parameter wake: called when something waits and nothing did; from any thread.
    package init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    func append(_ added: [CoreEvent]) {
        let isFirst = events.withLockedValue { events in
            defer { events += added }
            return events.isEmpty
        }
        if isFirst { wake() }
    }

    func append(_ event: CoreEvent) { append([event]) }

    /// All that waits.
    package func takeAll() -> CoreEvents {
        CoreEvents(
            events: events.withLockedValue { events in
                let taken = events
                events = []
                return taken
            }
        )
    }
}
