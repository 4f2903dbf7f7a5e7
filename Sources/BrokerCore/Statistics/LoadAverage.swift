import Glibc

/// The rate of an event per minute, averaged over the last one, five and fifteen minutes.
///
/// The weight falls exponentially, as in mosquitto and the kernel.
struct LoadAverage {
    /// The minutes averaged over.
    static let windows = [1, 5, 15]

    private var last: UInt64 = 0
    /// Per minute, one for each window.
    private(set) var averages = [0.0, 0.0, 0.0]

    /// Adds a counter's value, the given number of seconds after the last one.
    mutating func update(_ counter: UInt64, seconds: Double) {
        guard seconds > 0 else { return }
        let perMinute = Double(counter &- last) * 60 / seconds
        last = counter
        for (place, minutes) in Self.windows.enumerated() {
            let weight = exp(-seconds / (60 * Double(minutes)))
            averages[place] = averages[place] * weight + perMinute * (1 - weight)
        }
    }
}
