import BrokerCore
import NIOCore

/// Limits the rate of events that clients cause: for each kind, and lower for one client's network.
struct EventPace {
    /// Events at once, and then for each second.
    fileprivate static let ofNetwork = (burst: 50, rate: 5)
    fileprivate static let ofAll = (burst: 500, rate: 50)
    /// Networks that are known for each kind; others share one allowance.
    fileprivate static let networks = 1_024

    fileprivate struct Kind {
        var all: TokenBucket
        var networks: [ClientNetwork?: TokenBucket] = [:]
        var forgottenAt: NIODeadline
        var leftOut = 0

        init(now: NIODeadline) {
            all = TokenBucket(rate: EventPace.ofAll.rate, burst: EventPace.ofAll.burst, now: now)
            forgottenAt = now
        }
    }

    private var kinds: [Event.Kind: Kind] = [:]

    /// Whether one more event may be logged.
    mutating func admits(_ kind: Event.Kind, _ network: ClientNetwork?, at now: NIODeadline) -> Bool {
        let isTold = kinds[kind, default: Kind(now: now)].admits(network, at: now)
        if !isTold { kinds[kind]?.leftOut += 1 }
        return isTold
    }

    /// The number of suppressed events of each kind since the last call.
    mutating func takeLeftOut() -> [(kind: Event.Kind, count: Int)] {
        let found = kinds.filter { $0.value.leftOut > 0 }.map { (kind: $0.key, count: $0.value.leftOut) }
        for kind in found { kinds[kind.kind]?.leftOut = 0 }
        return found.sorted { $0.kind.rawValue < $1.kind.rawValue }
    }
}

extension EventPace.Kind {
    fileprivate mutating func admits(_ network: ClientNetwork?, at now: NIODeadline) -> Bool {
        var network = network
        if networks[network] == nil, networks.count >= EventPace.networks { forget(at: now) }
        if networks[network] == nil, networks.count >= EventPace.networks { network = nil }
        let (burst, rate) = EventPace.ofNetwork
        guard networks[network, default: TokenBucket(rate: rate, burst: burst, now: now)].take(at: now) else {
            return false
        }
        return all.take(at: now)
    }

    /// Forgets networks whose allowance is full again; done seldom, since it takes a while.
    private mutating func forget(at now: NIODeadline) {
        guard now - forgottenAt >= .seconds(1) else { return }
        forgottenAt = now
        networks = networks.filter { !$0.value.isFull(at: now) }
    }
}
