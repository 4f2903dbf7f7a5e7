import DequeModule

/// Work that may take longer than one turn of the core: it is done in slices, and other clients are served between
/// them.
///
/// Work that visits an unknown number of things (a walk over retained messages, the end of a session with many
/// subscriptions) is put here. Pieces of work take turns, so that one client's work does not delay another's.
struct Backlog {
    /// Things that all work together may visit in one slice: topic nodes, subscriptions, queued messages.
    ///
    /// A visit takes several hundred nanoseconds, so a slice takes about a millisecond.
    static let steps = 4_096
    /// Things that one piece of work may visit before the next one continues.
    static let turn = 512
    /// The work that may be done for all clients together before other events are handled, in units of about 50 ns.
    static let effort = 131_072
    /// The effort of a step, in these units.
    static let step = 16
    /// The effort of a delivery at QoS 0.
    static let delivery = 2

    /// The effort of writing a connection's output.
    static let write = 8
    /// The bytes of output that count as one step.
    static let bytes = 4_096

    /// The effort of subscribing to a filter, or of unsubscribing from it: more for a filter with many levels.
    static func effort(of filter: String) -> Int { 48 + filter.utf8.count }

    /// Does a part of the work.
    ///
    /// - Parameter steps: things that it may still visit, at least 1; it subtracts the number that it has visited.
    /// - Returns: whether all of the work is done.
    typealias Work = (_ broker: Broker, _ steps: inout Int) -> Bool

    /// Work that has not begun.
    private var fresh: Deque<Work> = []
    /// Work that has begun.
    private var begun: Deque<Work> = []
    private var turns: UInt = 0

    var isEmpty: Bool { fresh.isEmpty && begun.isEmpty }

    mutating func append(_ work: @escaping Work) { fresh.append(work) }

    mutating func goOn(_ work: @escaping Work) { begun.append(work) }

    /// The next work: every other turn belongs to the latest work, so that a short one need not wait until all long
    /// ones have had a turn.
    mutating func next() -> Work? {
        turns &+= 1
        switch turns % 4 {
        case 0: return begun.popFirst() ?? fresh.popFirst()
        case 2: return fresh.popFirst() ?? begun.popFirst()
        default: return fresh.popLast() ?? begun.popFirst()
        }
    }
}

extension Broker {
    /// Whether `proceed` has work to continue.
    package var hasBacklog: Bool { !turn.backlog.isEmpty }

    /// Does a slice of the backlog; the owner calls it again, after other events, as long as there is a backlog.
    package func proceed() {
        beginTurn()
        var steps = Backlog.steps
        while steps > 0, let work = turn.backlog.next() {
            let most = min(steps, Backlog.turn)
            var left = most
            let isDone = work(self, &left)
            // A step is counted even for work that has visited nothing and is not done, so that the loop ends.
            steps -= max(most - left, 1)
            if !isDone { turn.backlog.goOn(work) }
        }
        output.slices = steps <= 0 && !turn.backlog.isEmpty ? output.slices + 1 : 0
        if !output.dirty.isEmpty { requestFlush() }
        beginTurn()
    }

    /// Begins work that may take long, and continues it in later turns if it is not done at once.
    ///
    /// - Parameter steps: things that it may visit now.
    func begin(steps: Int = Backlog.turn, _ work: @escaping Backlog.Work) {
        guard !isTurnOver else { return turn.backlog.append(work) }
        var left = steps
        if !work(self, &left) { turn.backlog.goOn(work) }
        turn.effort &+= (steps - left) * Backlog.step
    }

    /// Whether the effort of this turn is used up, so that further work is to be deferred (`goOn`).
    @inline(__always)
    package var isTurnOver: Bool { turn.effort &+ router.effort >= turn.end }

    /// Counts work of the given number of units of about 50 ns.
    @inline(__always)
    package func count(effort units: Int) { turn.effort &+= units }

    /// Counts the end of a connection that is handled later.
    package func putOffEnd() { turn.endsPutOff += 1 }

    /// The number of ends that were put off since the last call.
    package func takeEndsPutOff() -> Int {
        defer { turn.endsPutOff = 0 }
        return turn.endsPutOff
    }

    /// Begins a turn, after other events have been handled.
    func beginTurn() {
        turn.effort = 0
        router.effort = 0
    }

    /// Continues in slices with work that was deferred because the turn was over.
    ///
    /// - Parameter work: does a part, until the turn is over again, and returns whether it is done.
    package func goOn(_ work: @escaping (_ broker: Broker) -> Bool) {
        turn.backlog.append { broker, steps in
            let before = broker.turn.effort &+ broker.router.effort
            broker.turn.end = before &+ steps * Backlog.step
            let isDone = work(broker)
            broker.turn.end = Backlog.effort
            steps -= (broker.turn.effort &+ broker.router.effort &- before) / Backlog.step
            return isDone
        }
    }
}
