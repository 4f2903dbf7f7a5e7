import MQTTCodec
import NIOCore

// Messages in the store alone that a member of shared subscriptions has not taken go to other members (MQTT 5.0
// §4.8.2), page by page.
//
// The store answers later, when the session may have changed or ended, so the reader keeps the Topic Filters.
extension Broker {
    // MARK: Sessions that are over

    /// The messages of an ending session that are in the store alone.
    ///
    /// Messages of shared subscriptions without another member are excluded.
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
            // Keeps the order: these messages were queued later.
            for outbound in session.queue.messages where goingOn.contains(outbound.share) {
                left.append(StoredOutbound(outbound))
            }
        }
        for outbound in session.queue.storedMessages where goingOn.contains(outbound.share) { left.append(outbound) }
        return left
    }

    /// Passes on the messages that an ended session has in the store.
    ///
    /// A message stays as it is until another member has it, also in a crash, after which recovery continues.
    func passOn(_ left: LeftInStore) {
        let page = left.page
        guard !page.isEmpty else { return }
        // During recovery there is no loop yet to receive an answer.
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

    /// Passes on queued messages in the store alone, for a client that has left shared subscriptions.
    ///
    /// It skips messages that have been sent by then, and those of shared subscriptions that the client has rejoined.
    ///
    /// - Parameter sequence: the position up to which messages have been passed on.
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
            // The end of a session passes on all its messages.
            guard !session.hasEnded else { return }
            // Messages that can't be read stay.
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

/// The messages of shared subscriptions that an ended session has in the store alone, in the order of its delivery.
///
/// It has all data to pass them on, and does not use the session.
struct LeftInStore {
    /// A message, and the session's data about it.
    struct Left {
        let place: StoredPlace
        let share: ShareNumber
        /// Bytes in memory once it is read back.
        let cost: UInt32
        /// Whether its PUBLISH was sent to the former member.
        let isInflight: Bool
    }

    private var messages: [Left] = []
    /// The index of the first message that is not passed on yet.
    private var next = 0
    /// The shared subscriptions, under the numbers of the ended session.
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

    /// Adds a message that recovery has found for a session that does not exist any more.
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

    /// The messages to read next.
    var page: [Left] { OutboundQueue.page(of: messages[next...], cost: \.cost) }

    func dropping(_ count: Int) -> LeftInStore {
        var rest = self
        rest.next += count
        return rest
    }

    /// The places of the remaining messages.
    var places: Set<StoredPlace> { Set(messages[next...].lazy.map(\.place)) }
}

extension StoredDestination {
    /// Whether other members of its shared subscription may have it when its session does not exist any more.
    ///
    /// A message that was sent at QoS 2 is excluded, since its client may have it [MQTT-4.8.2-5].
    package var isForOthers: Bool {
        guard share != nil else { return false }
        switch state {
        case .queued: return true
        case .published: return qos == .atLeastOnce
        case .released, .done: return false
        }
    }
}
