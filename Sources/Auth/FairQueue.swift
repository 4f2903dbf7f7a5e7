import BrokerCore
import DequeModule

/// What waits to be done, in turns: one of each network after the other, so that no network waits for all the requests of another.
struct FairQueue<Element: Sendable>: Sendable {
    /// What became of something that was to wait.
    enum Outcome {
        case waits
        /// Another one, of the network with the most, has given way to it.
        case displaced(Element)
        case refused
    }

    private var queues: [ClientNetwork?: Deque<Element>] = [:]
    /// Networks with something that waits, each once; the first is next.
    private var turns: Deque<ClientNetwork?> = []
    /// How many wait, or were taken and are not done.
    private var count = 0
    private let maximum: Int
    private let share: Int

    /// - Parameter maximum: how many may wait; half of them for one network, but for those whose network is nil.
    init(maximum: Int) {
        self.maximum = maximum
        share = max(maximum / 2, 1)
    }

    /// Puts something at the end of what waits for its network.
    mutating func append(_ element: Element, for network: ClientNetwork?) -> Outcome {
        let own = queues[network]?.count ?? 0
        guard network == nil || own < share else { return .refused }
        guard count >= maximum else {
            add(element, network)
            return .waits
        }
        // All places are taken: who has more gives one of them.
        guard let longest = queues.max(by: { $0.value.count < $1.value.count }), longest.value.count > own + 1,
            let displaced = queues[longest.key]?.popLast()
        else { return .refused }
        count -= 1
        add(element, network)
        return .displaced(displaced)
    }

    private mutating func add(_ element: Element, _ network: ClientNetwork?) {
        if queues[network] == nil { turns.append(network) }
        queues[network, default: []].append(element)
        count += 1
    }

    /// Takes what is next; to be followed by `done`.
    mutating func popFirst() -> Element? {
        guard let network = turns.popFirst(), let element = queues[network]?.popFirst() else { return nil }
        if queues[network]?.isEmpty ?? true { queues[network] = nil } else { turns.append(network) }
        return element
    }

    /// Something that was taken has its answer.
    mutating func done() { count -= 1 }
}
