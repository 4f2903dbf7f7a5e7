import NIOCore

/// Grants so many events a second, and as many at once after a second of rest.
struct TokenBucket {
    private let perSecond: Double
    private var tokens: Double
    private var filled: NIODeadline

    /// - Parameter rate: events a second, at least 1.
    init(rate: Int, now: NIODeadline) {
        perSecond = Double(rate)
        tokens = perSecond
        filled = now
    }

    /// Takes one event out.
    ///
    /// - Returns: false when there is none left at this time.
    mutating func take(at now: NIODeadline) -> Bool {
        let seconds = Double((now - filled).nanoseconds) / 1e9
        filled = now
        tokens = min(perSecond, tokens + seconds * perSecond)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
