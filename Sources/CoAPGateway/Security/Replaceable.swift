import NIOConcurrencyHelpers

/// Something read from files that may be replaced while listeners use it.
package final class Replaceable<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        var observers: [Int: @Sendable () -> Void] = [:]
        var lastObserver = 0
    }

    private let state: NIOLockedValueBox<State>

    package init(_ value: Value) { state = NIOLockedValueBox(State(value: value)) }

    /// What is in force now.
    package var value: Value { state.withLockedValue { $0.value } }

    /// Looks at what is in force without a copy of it.
    func withValue<Result>(_ body: (borrowing Value) -> Result) -> Result {
        state.withLockedValue { body($0.value) }
    }

    /// Goes on with another value; from any thread.
    package func replace(_ value: Value) {
        let observers = state.withLockedValue { state in
            state.value = value
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
