import NIOConcurrencyHelpers
package import NIOCore

/// A TLS connection that did not come about.
package struct HandshakeFailure: Sendable {
    /// The client, or the proxy before it.
    package let remoteAddress: String
    package let words: String
    /// Whether it happens without anybody's mistake: a client that left.
    package let isOrdinary: Bool
    /// Others since the last report that were not reported.
    package fileprivate(set) var others = 0

    package init(remoteAddress: String, words: String, isOrdinary: Bool = false) {
        self.remoteAddress = remoteAddress
        self.words = words
        self.isOrdinary = isOrdinary
    }
}

/// Passes failures on, so many a second: an attack makes a flood of them.
package final class HandshakeLog: Sendable {
    private struct State {
        var second = NIODeadline.distantPast
        var lines = 0
        var others = 0
    }

    private static let linesPerSecond = 20

    private let state = NIOLockedValueBox(State())
    private let pass: @Sendable (HandshakeFailure) -> Void

    package init(_ pass: @escaping @Sendable (HandshakeFailure) -> Void) { self.pass = pass }

    package func report(_ failure: HandshakeFailure, at now: NIODeadline = .now()) {
        let others = state.withLockedValue { state -> Int? in
            if now - state.second >= .seconds(1) { (state.second, state.lines) = (now, 0) }
            state.lines += 1
            guard state.lines <= Self.linesPerSecond else {
                state.others += 1
                return nil
            }
            defer { state.others = 0 }
            return state.others
        }
        guard let others else { return }
        var failure = failure
        failure.others = others
        pass(failure)
    }
}
