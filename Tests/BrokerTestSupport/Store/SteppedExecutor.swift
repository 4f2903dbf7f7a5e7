import NIOConcurrencyHelpers
import Storage

/// Does jobs, and tells their results, one at a time when a test says so: so a crash may come between any two.
package final class SteppedExecutor: StoreExecutor {
    private let steps = NIOLockedValueBox<[@Sendable () -> Void]>([])

    package init() {}

    package func run(_ job: @escaping @Sendable () -> Void) { steps.withLockedValue { $0.append(job) } }

    package func answer(_ tell: @escaping @Sendable () -> Void) { steps.withLockedValue { $0.append(tell) } }

    /// Jobs to do and results to tell.
    package var waiting: Int { steps.withLockedValue { $0.count } }

    /// Does the next job, or tells the next result.
    ///
    /// - Returns: whether there was one.
    @discardableResult
    package func step() -> Bool {
        let next = steps.withLockedValue { $0.isEmpty ? nil : $0.removeFirst() }
        next?()
        return next != nil
    }

    package func drain() { while step() {} }
}
