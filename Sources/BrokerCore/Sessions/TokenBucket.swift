import NIOCore

/// Grants so many events a second, and some more at once after a rest.
struct TokenBucket {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var filled: NIODeadline

    /// - Parameters:
    ///   - rate: events a second, at least 1.
    ///   - burst: events at once; nil is those of a second.
    init(rate: Int, burst: Int? = nil, now: NIODeadline) {
        perSecond = Double(rate)
        self.burst = Double(burst ?? rate)
        tokens = self.burst
        filled = now
    }

    /// Takes one event out.
    ///
    /// - Returns: false when there is none left at this time.
    mutating func take(at now: NIODeadline) -> Bool {
        let seconds = Double((now - filled).nanoseconds) / 1e9
        filled = now
        tokens = min(burst, tokens + seconds * perSecond)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    /// Whether it would grant as many at once as ever.
    func isFull(at now: NIODeadline) -> Bool {
        tokens + Double((now - filled).nanoseconds) / 1e9 * perSecond >= burst
    }
}
