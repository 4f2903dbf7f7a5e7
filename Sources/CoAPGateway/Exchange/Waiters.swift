import HeapModule
import NIOCore

/// Requests that wait for a message, by when they are answered without one; sans I/O.
///
/// A request that was answered before stays there until its time comes, or until most are such ones.
struct Waiters {
    private struct Waiter: Comparable {
        let deadline: NIODeadline
        let exchange: Exchange

        static func < (left: Waiter, right: Waiter) -> Bool { left.deadline < right.deadline }
        static func == (left: Waiter, right: Waiter) -> Bool { left.deadline == right.deadline }
    }

    private var heap = Heap<Waiter>()

    /// When the first one is due, or one that was answered before would have been.
    var nextDeadline: NIODeadline? { heap.min?.deadline }

    /// - Parameter live: requests that wait, this one included.
    mutating func insert(_ exchange: Exchange, until deadline: NIODeadline, live: Int) {
        if heap.count > 2 * live + 64 { heap = Heap(heap.unordered.filter(\.exchange.downlink.isWaiting)) }
        heap.insert(Waiter(deadline: deadline, exchange: exchange))
    }

    /// Takes one whose time has come.
    mutating func popDue(at now: NIODeadline) -> Exchange? {
        while let first = heap.min, first.deadline <= now {
            heap.removeMin()
            if first.exchange.downlink.isWaiting { return first.exchange }
        }
        return nil
    }
}
