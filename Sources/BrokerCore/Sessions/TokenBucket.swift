package import NIOCore

/// Grants the given number of events a second, and a burst of events after a pause.
package struct TokenBucket {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var filled: NIODeadline

    /// - Parameters:
    ///   - rate: events a second, at least 1.
    ///   - burst: events at once; nil is the number of a second.
    package init(rate: Int, burst: Int? = nil, now: NIODeadline) {
        perSecond = Double(rate)
        self.burst = Double(burst ?? rate)
        tokens = self.burst
        filled = now
    }

    /// Takes one event out.
    ///
    /// - Returns: false when there is none left at this time.
    package mutating func take(at now: NIODeadline) -> Bool {
        let seconds = Double((now - filled).nanoseconds) / 1e9
        filled = now
        tokens = min(burst, tokens + seconds * perSecond)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    /// Whether it would grant a whole burst now.
    package func isFull(at now: NIODeadline) -> Bool {
        tokens + Double((now - filled).nanoseconds) / 1e9 * perSecond >= burst
    }
}
