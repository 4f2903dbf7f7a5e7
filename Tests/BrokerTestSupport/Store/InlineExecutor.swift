import Storage

/// Does each job of a store in the caller's thread, at once.
package struct InlineExecutor: StoreExecutor {
    package init() {}

    package func run(_ job: @escaping @Sendable () -> Void) { job() }

    package func answer(_ tell: @escaping @Sendable () -> Void) { tell() }

    package func drain() {}
}
