import MQTTCodec
import NIOCore

/// Timers in a heap from which entries can be removed, so that a cancelled timer uses no memory.
struct TimerQueue {
    enum Event {
        case connectTimeout(ConnectionReference)
        case keepAlive(ConnectionReference)
        case tokenExpiry(ConnectionReference)
        case sessionExpiry(SessionName, SessionNumber)
        case will(SessionName, SessionNumber)
        case messageExpiry(SessionName, SessionNumber)
        case systemTopics
        case storeRetry
        case lazyCommit
        case retainedExpiry
        case loadRetry(SessionName, SessionNumber)
        indirect case passOn(LeftInStore)
    }

    /// One timer; its owner keeps it if it may have to cancel it.
    final class Entry {
        let deadline: NIODeadline
        fileprivate let event: Event
        fileprivate let order: UInt64
        /// Its index in the heap; nil once it is removed.
        fileprivate var place: Int?

        fileprivate init(_ event: Event, _ deadline: NIODeadline, _ order: UInt64) {
            self.event = event
            self.deadline = deadline
            self.order = order
        }

        /// Bytes in memory, including its slot in the heap.
        static let cost = 128

        fileprivate func isBefore(_ other: Entry) -> Bool { (deadline, order) < (other.deadline, other.order) }
    }

    private var heap: [Entry] = []
    private var order: UInt64 = 0

    /// Entries that are not due yet.
    var count: Int { heap.count }

    var nextDeadline: NIODeadline? { heap.first?.deadline }

    @discardableResult
    mutating func add(_ event: Event, at deadline: NIODeadline) -> Entry {
        order += 1
        let entry = Entry(event, deadline, order)
        entry.place = heap.count
        heap.append(entry)
        moveUp(entry, from: heap.count - 1)
        return entry
    }

    /// Removes an entry; does nothing when it has been removed already.
    mutating func cancel(_ entry: Entry?) {
        guard let entry, let place = entry.place, let last = heap.popLast() else { return }
        entry.place = nil
        guard last !== entry else { return }
        put(last, at: place)
        moveUp(last, from: place)
        if let now = last.place { moveDown(last, from: now) }
    }

    mutating func popDue(at now: NIODeadline) -> Event? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        cancel(first)
        return first.event
    }

    private mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        entry.place = place
    }

    private mutating func moveUp(_ entry: Entry, from start: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.isBefore(heap[parent]) else { break }
            put(heap[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private mutating func moveDown(_ entry: Entry, from start: Int) {
        var place = start
        while true {
            var child = 2 * place + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(entry) else { break }
            put(heap[child], at: place)
            place = child
        }
        put(entry, at: place)
    }
}

extension Broker {
    /// Timers that are not due yet.
    package var timerCount: Int { timers.count }

    /// Cancels the timers of an ended connection.
    func forgetTimers(of connection: VirtualConnection) {
        timers.cancel(connection.lookTimer)
        timers.cancel(connection.tokenTimer)
        connection.lookTimer = nil
        connection.tokenTimer = nil
    }

    /// Cancels the timers for the session's expiry and its will, since the session continues.
    func forgetEnd(of session: Session) {
        timers.cancel(session.life.expiryTimer)
        timers.cancel(session.life.willTimer)
        session.life.expiryTimer = nil
        session.life.willTimer = nil
    }

    /// Cancels the timers of an ended session.
    func forgetTimers(of session: Session) {
        forgetEnd(of: session)
        timers.cancel(session.life.messageTimer)
        timers.cancel(session.loading.retryTimer)
        session.life.messageTimer = nil
        session.loading.retryTimer = nil
    }
}
