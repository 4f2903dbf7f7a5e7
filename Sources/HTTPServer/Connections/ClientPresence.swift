import NIOConcurrencyHelpers
import NetworkListeners

/// What the pipeline of one HTTP connection knows and the request in progress has to know: whether the client is still
/// there, who it is by its certificate, where it is by its proxy's word, and which request is refused before it is looked at.
package final class ClientPresence: Sendable {
    private struct State {
        var isGone = false
        var whenGone: (@Sendable () -> Void)?
        var refusal: (request: Int, reason: Refusal)?
        var client: ProxyHeader.Client?
        var transportIdentity: String?
    }

    private let state = NIOLockedValueBox(State())

    /// The client has closed its end, or all of the connection.
    func clientLeft() {
        let whenGone = state.withLockedValue { state in
            state.isGone = true
            return state.whenGone.take()
        }
        whenGone?()
    }

    /// Sets what a long response does when its client leaves, in place of what was set before; at once if it has left.
    package func onLeaving(_ action: (@Sendable () -> Void)?) {
        let isGone = state.withLockedValue { state in
            state.whenGone = state.isGone ? nil : action
            return state.isGone
        }
        if isGone { action?() }
    }

    /// A request of the connection, counted from 1, is refused; it is the last one that is served.
    func refuse(request: Int, _ reason: Refusal) {
        state.withLockedValue { $0.refusal = $0.refusal ?? (request, reason) }
    }

    /// Why a request is refused.
    func refusal(ofRequest number: Int) -> Refusal? {
        state.withLockedValue { $0.refusal.flatMap { $0.request == number ? $0.reason : nil } }
    }

    /// The connection's PROXY protocol header has come.
    func cameFrom(_ client: ProxyHeader.Client) {
        state.withLockedValue { $0.client = client }
    }

    /// The TLS handshake is done.
    ///
    /// - Parameter identity: the user name the client's certificate gives it; nil without one.
    func authenticated(as identity: String?) {
        state.withLockedValue { $0.transportIdentity = identity }
    }

    /// The user name the client's certificate gives it.
    package var transportIdentity: String? { state.withLockedValue { $0.transportIdentity } }

    /// The client by the word of its connection's PROXY protocol header; nil without one.
    var proxiedClient: ProxyHeader.Client? { state.withLockedValue { $0.client } }
}
