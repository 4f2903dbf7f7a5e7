import MQTTCodec
import NIOCore

// What a member of shared subscriptions leaves behind in the store alone goes to other members (MQTT 5.0 §4.8.2), a page
// at a time.
//
// The store answers later, when the session may have changed, or be over: whoever reads takes the Topic Filters along.
extension Broker {
    // MARK: Sessions that are over

    /// Messages of a session that ends, and that are in the store alone.
    ///
    /// Those of shares that have no other member are not among them.
    func leftInStore(by session: Session) -> LeftInStore {
        guard session.isStored, !session.interest.shares.isEmpty else {
            return LeftInStore(of: session.interest.shares)
        }
        let goingOn = session.interest.shares.numbers { router.index.members(of: $0) != nil }
        var left = LeftInStore(of: session.interest.shares)
        for delivery in session.storage.inflight where delivery.state == .published && goingOn.contains(delivery.share)
        {
            left.append(delivery)
        }
        if !left.isEmpty {
            // In order: what has been queued since comes after that.
            for outbound in session.queue.messages where goingOn.contains(outbound.share) {
                left.append(StoredOutbound(outbound))
            }
        }
        for outbound in session.queue.storedMessages where goingOn.contains(outbound.share) { left.append(outbound) }
        return left
    }

    /// Passes on what a session that is over has left in the store.
    ///
    /// Until another member has a message it stays as it is, also over a crash, after which recovery goes on with it.
    func passOn(_ left: LeftInStore) {
        let page = left.page
        guard !page.isEmpty else { return }
        // During recovery there is no loop yet to get an answer on.
        guard host.submit != nil else {
            timers.add(.passOn(left), at: now)
            return
        }
        read(page.map(\.place)) { broker, result in
            guard case .success(let messages) = result else {
                broker.timers.add(.passOn(left), at: broker.now + .seconds(1))
                return
            }
            var outbound: [OutboundMessage] = []
            for (stored, loaded) in zip(page, messages) {
                broker.journal?.finish(stored.place)
                guard let loaded, loaded.destination.qos == .atLeastOnce || !stored.isInflight else { continue }
                var message = OutboundMessage(loaded)
                message.share = stored.share
                outbound.append(message)
            }
            broker.passOn(outbound, of: left.shares)
            broker.passOn(left.dropping(page.count))
        }
    }

    // MARK: Sessions that go on

    /// Passes on what waits in the queue of a client that has left shared subscriptions, and is in the store alone, unless
    /// it has been sent by then, or the client has come back to the share.
    ///
    /// - Parameter sequence: up to there it has been seen to.
    func passOnStored(of shares: Set<ShareNumber>, after sequence: UInt64 = 0, _ session: Session) {
        let goingOn = shares.filter { share in
            !session.isMember(of: share)
                && session.interest.shares[share].flatMap { router.index.members(of: $0) } != nil
        }
        let page = session.queue.page(after: sequence) { goingOn.contains($0.share) }
        guard let first = page.first?.sequence, let last = page.last?.sequence else {
            session.forgetUnusedShares()
            return recount(session)
        }
        let numbers = session.interest.shares
        read(page.map(\.place)) { broker, result in
            // The end of a session sees to everything that it has.
            guard !session.hasEnded else { return }
            // What can't be read stays.
            guard case .success(let messages) = result else { return session.forgetUnusedShares() }
            let waiting = session.queue.sequences(in: first...last)
            let outbound = zip(page, messages).compactMap { stored, loaded -> OutboundMessage? in
                guard let loaded, waiting.contains(stored.sequence), !session.isMember(of: stored.share) else {
                    return nil
                }
                var message = OutboundMessage(loaded)
                message.share = stored.share
                message.place = stored.place
                return message
            }
            let taken = broker.passOn(outbound, of: numbers)
            session.queue.remove(taken.map(\.sequence))
            broker.noteQueued(session)
            for message in taken { broker.finish(message) }
            broker.passOnStored(of: shares, after: last, session)
        }
    }
}

/// Messages of shared subscriptions that a session which is over has left in the store alone, in the order of its
/// delivery.
///
/// It has all that is needed to pass them on, and asks nothing of the session.
struct LeftInStore {
    /// A message, and what the session knew of it.
    struct Left {
        let place: StoredPlace
        let share: ShareNumber
        /// Bytes in memory when it is read back.
        let cost: UInt32
        /// Whether its PUBLISH was sent to the member that left.
        let isInflight: Bool
    }

    private var messages: [Left] = []
    /// Up to there they have been passed on.
    private var next = 0
    /// The shared subscriptions, as they were numbered when the session ended.
    private(set) var shares: SessionShares

    init(of shares: SessionShares) { self.shares = shares }

    var isEmpty: Bool { next == messages.count }

    mutating func append(_ delivery: StoredInflight) {
        messages.append(Left(place: delivery.place, share: delivery.share, cost: delivery.cost, isInflight: true))
    }

    mutating func append(_ outbound: StoredOutbound) {
        messages.append(
            Left(place: outbound.place, share: outbound.share, cost: outbound.cost, isInflight: false)
        )
    }

    /// Takes in what recovery finds of a session that is not there any more.
    mutating func append(_ destination: StoredDestination, of share: TopicFilter, at place: StoredPlace, cost: Int) {
        messages.append(
            Left(
                place: place,
                share: shares.number(of: share),
                cost: UInt32(clamping: cost),
                isInflight: destination.state != .queued
            )
        )
    }

    /// What is to be read next.
    var page: [Left] { OutboundQueue.page(of: messages[next...], cost: \.cost) }

    func dropping(_ count: Int) -> LeftInStore {
        var rest = self
        rest.next += count
        return rest
    }

    /// Where everything has its place.
    var places: Set<StoredPlace> { Set(messages[next...].lazy.map(\.place)) }
}

extension StoredDestination {
    /// Whether other members of its shared subscription may have it when its session is not there any more.
    ///
    /// Not what was sent at QoS 2: its client may have it [MQTT-4.8.2-5].
    package var isForOthers: Bool {
        guard share != nil else { return false }
        switch state {
        case .queued: return true
        case .published: return qos == .atLeastOnce
        case .released, .done: return false
        }
    }
}
