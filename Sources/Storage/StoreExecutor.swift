import Dispatch

/// Where the work of a store is done, one job after the other.
package protocol StoreExecutor: Sendable {
    /// Does a job after all those that came before it.
    func run(_ job: @escaping @Sendable () -> Void)
    /// Does what a job ends with: to tell the result.
    func answer(_ tell: @escaping @Sendable () -> Void)
    /// Returns when all jobs handed over are done.
    func drain()
}

/// A thread of the store's own, since its work blocks.
package final class StoreThread: StoreExecutor {
    private let queue = DispatchQueue(label: "sluice.store", qos: .userInitiated)

    package init() {}

    package func run(_ job: @escaping @Sendable () -> Void) { queue.async(execute: job) }

    package func answer(_ tell: @escaping @Sendable () -> Void) { tell() }

    package func drain() { queue.sync {} }
}
