package import BrokerCore
import NIOConcurrencyHelpers

/// The pending answer to credentials, for example to a password, whose check is slow on purpose.
///
/// An authenticator makes it, returns it as `.pending`, and answers from any thread. Several clients may wait for the
/// same answer.
package final class PendingAuthentication: FutureAuthentication {
    private enum State {
        case waiting([@Sendable (Authentication) -> Void])
        case answered(Authentication)
    }

    private let state = NIOLockedValueBox(State.waiting([]))

    package init() {}

    /// Gives the answer; later answers are ignored.
    package func answer(_ authentication: Authentication) {
        let waiting = state.withLockedValue { state -> [@Sendable (Authentication) -> Void] in
            guard case .waiting(let waiting) = state else { return [] }
            state = .answered(authentication)
            return waiting
        }
        for body in waiting { body(authentication) }
    }

    /// Calls `body` once, on the thread that answers, or at once when there is an answer already.
    package func whenAnswered(_ body: @escaping @Sendable (Authentication) -> Void) {
        let answered = state.withLockedValue { state -> Authentication? in
            switch state {
            case .answered(let authentication): return authentication
            case .waiting(var waiting):
                waiting.append(body)
                state = .waiting(waiting)
                return nil
            }
        }
        if let answered { body(answered) }
    }
}
