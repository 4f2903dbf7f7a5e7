import DequeModule
package import NIOCore

/// Decides what is posted next to one endpoint, and when: order, batches, retries, and the circuit breaker.
///
/// It knows no clock, no chance and no network: time and jitter come in, attempts go out.
package struct DeliverySchedule<Item: Sendable>: Sendable {
    package struct Rules: Sendable, Equatable {
        /// Attempts in progress at a time; 1 keeps the order of the messages.
        package var concurrency = 1
        /// Messages of one attempt, at most.
        package var batch = 1
        /// Bytes of the messages of one attempt, unless it is one alone.
        package var batchBytes = 1_048_576
        /// From the first failure to the second attempt; twice as long from the next one on, and so forth.
        package var minimumDelay = TimeAmount.seconds(1)
        /// The longest time between two attempts.
        package var maximumDelay = TimeAmount.seconds(300)
        /// Failures in a row that open the circuit breaker: until the endpoint has taken a message, there is one attempt
        /// at a time.
        package var failuresToOpen = 5

        package init() {}
    }

    /// One request to be made.
    package struct Attempt: Sendable {
        package let id: UInt64
        package let items: [Item]
        /// 1 is the first.
        package let number: Int
    }

    /// What became of an attempt.
    package enum Outcome: Sendable, Equatable {
        case delivered
        /// Nobody was there, or could do anything about it now.
        case failed(retryAfter: TimeAmount?)
        /// The endpoint wants none of it, ever.
        case refused
    }

    package enum Step: Sendable {
        case send(Attempt)
        /// Nothing before that time, unless something happens.
        case wait(NIODeadline)
        case idle
    }

    /// Messages that are over.
    package enum Finished: Sendable {
        case delivered([Item])
        case refused([Item])
        /// None: they will be tried again.
        case none
    }

    /// What the circuit breaker knows of the endpoint.
    package enum Breaker: Sendable, Equatable {
        case closed
        case open(until: NIODeadline)
        /// One attempt finds out whether the endpoint is back.
        case halfOpen
    }

    private struct Batch {
        let id: UInt64
        let items: [Item]
        var attempts = 0
        var dueAt: NIODeadline
        var isInProgress = false
    }

    private let rules: Rules
    private let size: @Sendable (Item) -> Int
    private var waiting: Deque<Item> = []
    /// To go one by one, and before those that wait: members of a batch that was refused as a whole.
    private var single: Deque<Item> = []
    /// In progress, or to be tried again; at most `concurrency`.
    private var batches: [Batch] = []
    private var lastID: UInt64 = 0
    private var failuresInARow = 0
    package private(set) var breaker = Breaker.closed

    /// - Parameter size: bytes of a message.
    package init(_ rules: Rules, size: @escaping @Sendable (Item) -> Int = { _ in 0 }) {
        self.rules = rules
        self.size = size
    }

    /// Messages that are not over.
    package var count: Int { waiting.count + single.count + batches.reduce(0) { $0 + $1.items.count } }

    package mutating func add(_ items: [Item]) { waiting.append(contentsOf: items) }

    /// What is to be done now; to be asked until it is no `send`.
    package mutating func next(at now: NIODeadline) -> Step {
        guard !waiting.isEmpty || !single.isEmpty || batches.contains(where: { !$0.isInProgress }) else { return .idle }
        switch breaker {
        case .closed: break
        case .open(let until):
            guard now >= until, !batches.contains(where: \.isInProgress) else {
                return now >= until ? .idle : .wait(until)
            }
            breaker = .halfOpen
        case .halfOpen: return .idle
        }
        let due = batches.indices.filter { !batches[$0].isInProgress }.min { batches[$0].dueAt < batches[$1].dueAt }
        // The endpoint's own time to be asked again has come with the breaker's.
        if let due, batches[due].dueAt <= now || breaker == .halfOpen { return send(due) }
        if batches.count < rules.concurrency, !waiting.isEmpty || !single.isEmpty {
            lastID += 1
            batches.append(Batch(id: lastID, items: takeItems(), dueAt: now))
            return send(batches.count - 1)
        }
        return due.map { .wait(batches[$0].dueAt) } ?? .idle
    }

    /// - Parameter jitter: a random number from 0 to 1.
    /// - Returns: what is over by it.
    package mutating func finished(
        _ id: UInt64,
        _ outcome: Outcome,
        at now: NIODeadline,
        jitter: Double
    ) -> Finished {
        guard let place = batches.firstIndex(where: { $0.id == id && $0.isInProgress }) else { return .none }
        batches[place].isInProgress = false
        if case .failed(let retryAfter) = outcome {
            failed(place, retryAfter, at: now, jitter)
            return .none
        }
        // Whatever it said, it is there.
        failuresInARow = 0
        breaker = .closed
        let items = batches.remove(at: place).items
        for other in batches.indices { batches[other].dueAt = min(batches[other].dueAt, now) }
        guard outcome == .refused else { return .delivered(items) }
        guard items.count > 1 else { return .refused(items) }
        single.append(contentsOf: items)
        return .none
    }

    /// Starts from nothing: the session sends again what was not acknowledged.
    ///
    /// What is known of the endpoint stays.
    package mutating func removeAll() {
        waiting = []
        single = []
        batches = []
        if breaker == .halfOpen { breaker = .closed }
    }

    private mutating func send(_ place: Int) -> Step {
        batches[place].isInProgress = true
        batches[place].attempts += 1
        let batch = batches[place]
        return .send(Attempt(id: batch.id, items: batch.items, number: batch.attempts))
    }

    private mutating func takeItems() -> [Item] {
        if let item = single.popFirst() { return [item] }
        var items: [Item] = []
        var bytes = 0
        while items.count < rules.batch, let item = waiting.first {
            bytes += size(item)
            guard items.isEmpty || bytes <= rules.batchBytes else { break }
            items.append(item)
            waiting.removeFirst()
        }
        return items
    }

    private mutating func failed(_ place: Int, _ retryAfter: TimeAmount?, at now: NIODeadline, _ jitter: Double) {
        failuresInARow += 1
        let delay = delay(after: batches[place].attempts, retryAfter, jitter)
        batches[place].dueAt = now + delay
        guard failuresInARow >= rules.failuresToOpen || breaker == .halfOpen else { return }
        // Attempts that were begun before it opened tell nothing new.
        if case .open(let until) = breaker, until > now { return }
        breaker = .open(until: now + self.delay(after: failuresInARow, retryAfter, jitter))
    }

    /// Half of the time at least, so that it grows, and the rest by chance, so that endpoints are not asked by all at once.
    private func delay(after attempts: Int, _ retryAfter: TimeAmount?, _ jitter: Double) -> TimeAmount {
        if let retryAfter { return min(max(retryAfter, rules.minimumDelay), rules.maximumDelay) }
        let doublings = min(attempts - 1, 40)
        let longest = min(
            Double(rules.minimumDelay.nanoseconds) * Double(UInt64(1) << UInt64(doublings)),
            Double(rules.maximumDelay.nanoseconds)
        )
        return .nanoseconds(Int64(longest * (0.5 + min(max(jitter, 0), 1) / 2)))
    }
}
