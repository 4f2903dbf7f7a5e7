import Glibc
package import NIOCore

/// One moment on both clocks: the core counts on a clock that begins anew with the machine, records hold absolute times.
package struct ClockReading: Sendable {
    package let now: NIODeadline
    /// Milliseconds since 1970 (UTC).
    package let unixMilliseconds: Int64

    package init(now: NIODeadline, unixMilliseconds: Int64) {
        self.now = now
        self.unixMilliseconds = unixMilliseconds
    }

    /// Both clocks of this machine.
    package static func current() -> ClockReading {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let milliseconds = Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
        return ClockReading(now: .now(), unixMilliseconds: milliseconds)
    }

    /// Stands for `.distantFuture` in records.
    private static let never = UInt64.max
    /// So far away that nobody notices; not `never`.
    private static let farthest = UInt64(Int64.max - 1)

    /// Milliseconds since 1970, rounded up: nothing ends too early for having been stored.
    @inline(__always)
    func stored(_ deadline: NIODeadline) -> UInt64 {
        guard deadline != .distantFuture else { return Self.never }
        let nanoseconds = Int64(clamping: deadline.uptimeNanoseconds) - Int64(clamping: now.uptimeNanoseconds)
        let milliseconds = nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 > 0 ? 1 : 0)
        let (sum, overflows) = unixMilliseconds.addingReportingOverflow(milliseconds)
        return overflows ? UInt64(Int64.max) : UInt64(max(0, sum))
    }

    /// The time that a record holds; one before the clock began is `.distantPast`, and over in any case.
    func deadline(_ stored: UInt64) -> NIODeadline {
        guard stored != Self.never else { return .distantFuture }
        let (milliseconds, tooEarly) = Int64(clamping: stored).subtractingReportingOverflow(unixMilliseconds)
        let (nanoseconds, tooFar) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, beyond) = Int64(clamping: now.uptimeNanoseconds).addingReportingOverflow(nanoseconds)
        if tooEarly || tooFar || beyond {
            return milliseconds < 0 ? .distantPast : .uptimeNanoseconds(Self.farthest)
        }
        return .uptimeNanoseconds(min(UInt64(max(0, sum)), Self.farthest))
    }
}
