import BrokerCore
import CoreRuntime
import NIOCore

/// Says that the store can't write, once a minute, and that it can again.
///
/// Confined to the core loop.
final class StoreFailureLog {
    private let events: EventLog
    private var said: NIODeadline?

    init(_ events: EventLog) { self.events = events }

    /// - Parameter failure: nil when the store can write again.
    func report(_ failure: StoreFailure?, at now: NIODeadline) {
        guard let failure else {
            said = nil
            return events.note(.storeRecovered, [])
        }
        if let said, now - said < .minutes(1) { return }
        said = now
        events.note(.storeFailed, [.reason("\(failure)")])
    }
}
