import DequeModule

/// Work that may take longer than one turn of the core is to last: done a slice at a time, with other clients served
/// between two slices.
///
/// Whoever has begun something that visits an unknown number of things (a walk over retained messages, the end of a
/// session with many subscriptions) puts it here. Work takes turns, so that one client's does not keep another's waiting.
struct Backlog {
    /// Things that all work together may visit in one slice: topic nodes, subscriptions, queued messages.
    ///
    /// A visit takes some hundred nanoseconds, so a slice takes about a millisecond.
    static let steps = 4_096
    /// Things that one piece of work may visit before it is the next one's turn.
    static let turn = 512
    /// What may be done for all clients together before other events have their turn, in units of about 50 ns.
    static let effort = 131_072
    /// A step in these units.
    static let step = 16
    /// A delivery at QoS 0.
    static let delivery = 2
    /// The same to each of so many clients that what they have in memory is not at hand: these, and more.
    static let (wideDelivery, wide) = (6, 256)

    /// What it is worth to write a connection's output.
    static let write = 8
    /// Bytes of output that are worth a step.
    static let bytes = 4_096

    /// What it is worth to subscribe to a filter, or to unsubscribe from it: more where it has many levels.
    static func effort(of filter: String) -> Int { 48 + filter.utf8.count }

    /// Does some of the work.
    ///
    /// - Parameter steps: things it may still visit, at least 1; it takes off what it has visited.
    /// - Returns: whether all of the work is done.
    typealias Work = (_ broker: Broker, _ steps: inout Int) -> Bool

    /// Work that has not had a turn yet.
    private var fresh: Deque<Work> = []
    /// Work that goes on.
    private var begun: Deque<Work> = []
    private var turns: UInt = 0

    var isEmpty: Bool { fresh.isEmpty && begun.isEmpty }

    mutating func append(_ work: @escaping Work) { fresh.append(work) }

    mutating func goOn(_ work: @escaping Work) { begun.append(work) }

    /// Every other turn is the latest work's: who comes with little need not wait until all have gone on who came with
    /// much.
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
    /// Whether work is left that `proceed` goes on with.
    package var hasBacklog: Bool { !turn.backlog.isEmpty }

    /// Does a slice of the work that takes long; the owner calls it again, after other events, as long as there is a
    /// backlog.
    package func proceed() {
        beginTurn()
        var steps = Backlog.steps
        while steps > 0, let work = turn.backlog.next() {
            let most = min(steps, Backlog.turn)
            var left = most
            let isDone = work(self, &left)
            // Work that visits nothing, and is not done, must not go on for ever.
            steps -= max(most - left, 1)
            if !isDone { turn.backlog.goOn(work) }
        }
        turn.hasDoneMuch = steps <= 0
        beginTurn()
    }

    /// Begins work that may take long, and goes on with it in later turns if it is not done at once.
    ///
    /// - Parameter steps: things it may visit before it is put off.
    func begin(steps: Int = Backlog.turn, _ work: @escaping Backlog.Work) {
        guard !isTurnOver else { return turn.backlog.append(work) }
        var left = steps
        if !work(self, &left) { turn.backlog.goOn(work) }
        turn.effort &+= (steps - left) * Backlog.step
    }

    /// Whether as much has been done for clients as may be before other events have their turn: who has more to do puts it
    /// off (`goOn`).
    @inline(__always)
    package var isTurnOver: Bool { turn.effort &+ router.effort >= turn.end }

    /// Something has been done that takes so many units of about 50 ns.
    @inline(__always)
    package func count(effort units: Int) { turn.effort &+= units }

    /// A connection has ended, which is seen to later.
    package func putOffEnd() { turn.endsPutOff += 1 }

    /// Other events have had their turn.
    func beginTurn() {
        turn.effort = 0
        router.effort = 0
    }

    /// Goes on later, a slice at a time, with what could not be done because the turn was over.
    ///
    /// - Parameter work: does some, until the turn is over again, and says whether it is done.
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
