import NIOCore

/// Runs tasks on an event loop.
///
/// A request's task begins on its connection's loop and goes on there after each wait, so that it touches the connection
/// as the loop's other work does, and no step of it wakes another thread.
final class EventLoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedTaskExecutor()
        eventLoop.execute { job.runSynchronously(on: executor) }
    }
}
