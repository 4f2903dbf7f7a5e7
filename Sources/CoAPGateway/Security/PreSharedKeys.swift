import NIOConcurrencyHelpers

/// The keys of devices by identity, for DTLS and TLS with pre-shared keys (RFC 4279, RFC 7252 §9.1.3.1).
///
/// May be replaced while listeners use it: sessions whose key is another one now are ended.
package final class PreSharedKeys: Sendable {
    /// Bytes of the longest key libcoap takes.
    static let longestKey = 64

    private struct State {
        var keys: [[UInt8]: [UInt8]]
        var observers: [Int: @Sendable () -> Void] = [:]
        var lastObserver = 0
    }

    private let state: NIOLockedValueBox<State>

    /// - Parameter keys: by the bytes of the identity, UTF-8; of 1 to 64 bytes each.
    package init(_ keys: [[UInt8]: [UInt8]]) { state = NIOLockedValueBox(State(keys: keys)) }

    /// The key of an identity; nil when it is not known.
    func key(of identity: [UInt8]) -> [UInt8]? { state.withLockedValue { $0.keys[identity] } }

    /// Goes on with other keys; from any thread.
    package func replace(_ keys: [[UInt8]: [UInt8]]) {
        let observers = state.withLockedValue { state in
            state.keys = keys
            return state.observers.values.map { $0 }
        }
        for observer in observers { observer() }
    }

    /// Calls `changed` after each replacement, on the thread that replaces.
    ///
    /// - Returns: what `endObserving` wants.
    func observe(_ changed: @escaping @Sendable () -> Void) -> Int {
        state.withLockedValue { state in
            state.lastObserver += 1
            state.observers[state.lastObserver] = changed
            return state.lastObserver
        }
    }

    func endObserving(_ observer: Int) { state.withLockedValue { $0.observers[observer] = nil } }
}
