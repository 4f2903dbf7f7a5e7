import BrokerCore
import MQTTCodec
import NIOConcurrencyHelpers

/// What the core has for one subscriber and the response has not taken yet.
///
/// It is bounded by the sink's capacity and the client's Receive Maximum; the rest stays in the session's queue.
final class Inbox: Sendable {
    /// Why a wait ends.
    enum Event: Sendable {
        case deliveries([Delivery])
        /// The core has ended the connection, and everything before that has been taken.
        case closed(ReasonCode)
        /// The alarm went off.
        case alarm
        /// The client has left.
        case left
        /// Somebody else waits now.
        case superseded
    }

    private struct State {
        var deliveries: ArraySlice<Delivery> = []
        var reason: ReasonCode?
        var isAlarmed = false
        var hasLeft = false
        var waiter: (maximum: Int, resume: @Sendable (Event) -> Void)?

        mutating func next(_ maximum: Int) -> Event? {
            if hasLeft { return .left }
            if !deliveries.isEmpty {
                let batch = Array(deliveries.prefix(maximum))
                deliveries = deliveries.dropFirst(batch.count)
                if deliveries.isEmpty { deliveries = [] }
                return .deliveries(batch)
            }
            if let reason { return .closed(reason) }
            guard isAlarmed else { return nil }
            isAlarmed = false
            return .alarm
        }
    }

    private let state = NIOLockedValueBox(State())

    /// Waits for whatever comes first.
    ///
    /// - Parameter maximum: deliveries to take at a time.
    func next(maximum: Int) async -> Event {
        await withCheckedContinuation { continuation in
            let event = next(maximum: maximum) { continuation.resume(returning: $0) }
            if let event { continuation.resume(returning: event) }
        }
    }

    /// What comes first of what is there already.
    ///
    /// - Parameters:
    ///   - maximum: deliveries to take at a time.
    ///   - resume: told once what comes first, wherever that happens, if nothing is there now.
    func next(maximum: Int, _ resume: @escaping @Sendable (Event) -> Void) -> Event? {
        let (event, former) = state.withLockedValue { state -> (Event?, (@Sendable (Event) -> Void)?) in
            let former = state.waiter.take()?.resume
            let event = state.next(maximum)
            if event == nil { state.waiter = (maximum, resume) }
            return (event, former)
        }
        former?(.superseded)
        return event
    }

    /// On the core loop: a batch.
    func receive(_ batch: [Delivery]) { change { $0.deliveries.append(contentsOf: batch) } }

    /// On the core loop: nothing more comes.
    ///
    /// Who is not authorised any more does not get what has come before, either; a session that goes on sends again what it
    /// still may.
    func close(_ reason: ReasonCode) {
        change { state in
            state.reason = state.reason ?? reason
            if reason == .notAuthorized { state.deliveries = [] }
        }
    }

    /// Time is up.
    func alarm() { change { $0.isAlarmed = true } }

    /// The client is gone.
    func leave() { change { $0.hasLeft = true } }

    /// A client has come (back).
    func enter() {
        change { state in
            state.hasLeft = false
            state.isAlarmed = false
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let wake = state.withLockedValue { state -> (@Sendable (Event) -> Void, Event)? in
            body(&state)
            guard let waiter = state.waiter, let event = state.next(waiter.maximum) else { return nil }
            state.waiter = nil
            return (waiter.resume, event)
        }
        if let (resume, event) = wake { resume(event) }
    }
}
