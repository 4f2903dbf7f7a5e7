import ServiceLifecycle

/// All listeners as one service: they stop at the same time, where services of a group stop one after the other, and the
/// clients of each that don't read our last words would hold up the next.
struct Listeners: Service {
    private let listeners: [any Service]

    init(_ listeners: [any Service]) { self.listeners = listeners }

    /// Runs until all have stopped; when one of them fails or stops by itself, the others stop, too.
    ///
    /// - Throws: what kept a listener from listening.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for listener in listeners { tasks.addTask { try await listener.run() } }
            for try await _ in tasks where !Task.isShuttingDownGracefully { tasks.cancelAll() }
        }
    }
}
