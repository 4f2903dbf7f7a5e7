package import BrokerCore
import DequeModule
import NIOConcurrencyHelpers
package import NIOCore

/// Runs the broker on one event loop: the mailbox for other threads, the flush at the end of each tick, the timer.
package final class CoreLoop: @unchecked Sendable {
    // Sendable: `broker`, `timer` and the flags are touched on `eventLoop` only; the mailbox is behind a lock.

    /// The loop that owns all broker state.
    package let eventLoop: any EventLoop
    private let broker: Broker
    /// Submitted work that is deferred because the turn was over.
    private var submitted: Deque<@Sendable (Broker) -> Void> = []
    private let mailbox = NIOLockedValueBox<[@Sendable (Broker) -> Void]>([])
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var isProceedScheduled = false

    /// The pause between two slices of long work, in which sockets are read: the event loop reads them only when no
    /// task is due.
    private static let pause = TimeAmount.microseconds(50)
    /// The number of connections that end in one pause from which on the pause is repeated.
    ///
    /// More may be waiting: the event loop handles a limited number of sockets at a time, in the order of their
    /// events.
    private static let manyEnds = 32
    /// The longest duration of repeated pauses.
    private static let longestPause = TimeAmount.milliseconds(10)

    /// Takes over a broker, which only this loop uses from now on.
    package init(eventLoop: any EventLoop, broker: sending Broker) {
        self.eventLoop = eventLoop
        self.broker = broker
        broker.host.requestFlush = { [unowned self] in scheduleFlush() }
        broker.host.submit = { [weak self] work in self?.submit(work) }
        // Runs the core once, for work that recovery has deferred.
        submit { _ in }
    }

    /// Runs work on the core, in the order submitted by each thread; many submissions share one wake-up.
    package func submit(_ work: @escaping @Sendable (Broker) -> Void) {
        let isFirst = mailbox.withLockedValue { waiting in
            waiting.append(work)
            return waiting.count == 1
        }
        if isFirst { eventLoop.execute { self.drain() } }
    }

    /// Runs work on the core and waits for its value.
    package func perform<Value: Sendable>(_ work: @escaping @Sendable (Broker) -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            submit { continuation.resume(returning: work($0)) }
        }
    }

    /// Waits until the store has written all changes.
    ///
    /// - Returns: false when the store can't write.
    package func storeAll() async -> Bool {
        await withCheckedContinuation { continuation in
            submit { broker in broker.whenAllStored { continuation.resume(returning: $0) } }
        }
    }

    /// Connects a client, does work with the answer to its CONNECT, and waits for the work's value and for the store.
    ///
    /// The store has written all changes of the work then. No other code may end the connection before.
    ///
    /// - Returns: the value, and whether the store has written all changes.
    package func perform<Value: Sendable>(
        connecting request: ConnectRequest,
        on connection: VirtualConnection,
        _ work: @escaping @Sendable (Broker, ConnectResult) -> Value
    ) async -> (value: Value, isStored: Bool) {
        await withCheckedContinuation { continuation in
            submit { broker in
                broker.connect(request, on: connection) { result in
                    let value = work(broker, result)
                    broker.whenStored(connection) { continuation.resume(returning: (value, $0)) }
                }
            }
        }
    }

    /// Runs work at once, for callers on the core loop.
    @inline(__always)
    package func run<Value>(_ work: (Broker) -> Value) -> Value {
        eventLoop.assertInEventLoop()
        broker.advance(to: .now())
        let value = work(broker)
        broker.noteChanges()
        scheduleTimer()
        if broker.hasBacklog || !submitted.isEmpty { scheduleProceed() }
        return value
    }

    private func drain() {
        let waiting = mailbox.withLockedValue { mailbox in
            let taken = mailbox
            mailbox = []
            return taken
        }
        let isBehind = !submitted.isEmpty
        submitted.append(contentsOf: waiting)
        if !isBehind { run(doSubmitted) }
    }

    /// Does submitted work, in order, until the turn is over; the rest comes first in the next turn.
    private func doSubmitted(_ broker: Broker) {
        while let work = submitted.popFirst() {
            work(broker)
            broker.count(effort: 16)
            if broker.isTurnOver { return }
        }
    }

    /// Schedules the flush as a task: tasks run after all reads of a tick, so that one task flushes the output of all
    /// of them.
    private func scheduleFlush() {
        eventLoop.execute { self.run { $0.flush() } }
    }

    private func scheduleProceed() {
        guard !isProceedScheduled else { return }
        isProceedScheduled = true
        // The pause begins after the tasks that are already queued, the flush among them, however long they take.
        eventLoop.execute { self.pause(since: .now()) }
    }

    private func pause(since begin: NIODeadline) {
        _ = broker.takeEndsPutOff()
        eventLoop.scheduleTask(in: Self.pause) {
            if self.broker.takeEndsPutOff() >= Self.manyEnds, .now() - begin < Self.longestPause {
                return self.pause(since: begin)
            }
            self.isProceedScheduled = false
            self.run { broker in
                self.doSubmitted(broker)
                broker.proceed()
            }
        }
    }

    private func scheduleTimer() {
        guard let deadline = broker.nextDeadline, deadline < timerDeadline else { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = eventLoop.scheduleTask(deadline: deadline) {
            self.timerDeadline = .distantFuture
            self.timer = nil
            self.run { _ in }
        }
    }
}
