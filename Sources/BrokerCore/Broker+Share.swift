import DequeModule
import MQTTCodec

// What a member of shared subscriptions leaves behind goes to other members (MQTT 5.0 §4.8.2).
extension Broker {
    /// The client has left shared subscriptions.
    ///
    /// It completes what it has been sent [MQTT-3.10.4-3]. What waits in its queue goes to other members; with nobody to
    /// take it, it stays and is delivered as it would be after any other UNSUBSCRIBE.
    func leave(_ shares: Set<ShareNumber>, _ session: Session) {
        let waiting = session.queue.messages.filter { shares.contains($0.share) }
        let taken = passOn(waiting, of: session.shares)
        session.queue.remove(taken.map(\.sequence))
        for outbound in taken { finish(outbound) }
        let stored = session.queue.storedMessages.filter { shares.contains($0.share) }
        guard !stored.isEmpty else { return session.forgetUnusedShares() }
        loadAndPassOn(stored, waitingFor: session)
    }

    /// Delivers to other members, as if it had just been published, what a session holds of shared subscriptions.
    ///
    /// - Parameters:
    ///   - left: in the order of the session's own delivery.
    ///   - numbers: the shared subscriptions, of which the session is no member any more, under its numbers.
    /// - Returns: the messages that the session need not keep: another one has them, or they have expired.
    @discardableResult
    func passOn(_ left: [OutboundMessage], of numbers: SessionShares) -> [OutboundMessage] {
        var shares: [ShareNumber: RemainingMembers] = [:]
        return left.filter { outbound in
            guard outbound.message.expiresAt > now else {
                statistics.dropped &+= 1
                return true
            }
            let name = authorizer == nil ? "" : outbound.message.topic.string
            let member = shares[outbound.share, default: remainingMembers(of: outbound.share, in: numbers)].next {
                authorizer?.mayReceive(name, client: $0.session.identity) ?? true
            }
            guard let member else { return false }
            var number = MessageNumber.none
            deliver(
                outbound.message,
                qos: min(member.options.qos, outbound.message.qos),
                retain: member.options.retainAsPublished && outbound.message.retain,
                identifiers: member.identifierList,
                share: member.share,
                storedAs: &number,
                to: member.session
            )
            return true
        }
    }

    /// Messages of shared subscriptions that a session which is over has left in the store go to other members.
    func loadAndPassOn(_ left: LeftInStore) {
        guard !left.messages.isEmpty else { return }
        read(left.messages.map(\.place)) { broker, result in
            // What can't be read can't be passed on; recovery removes what belongs to no session.
            guard case .success(let messages) = result else { return }
            var outbound: [OutboundMessage] = []
            for (stored, loaded) in zip(left.messages, messages) {
                broker.journal?.finish(stored.place)
                guard let loaded, loaded.destination.qos == .atLeastOnce || !stored.isInflight else { continue }
                var message = OutboundMessage(loaded)
                message.share = stored.share
                outbound.append(message)
            }
            broker.passOn(outbound, of: left.shares)
        }
    }

    /// Messages of shared subscriptions that a client has left, and that its queue has in the store alone, go to other
    /// members, unless they have been sent by then, or the session is over and its end passes them on.
    private func loadAndPassOn(_ left: [StoredOutbound], waitingFor session: Session) {
        let shares = session.shares
        read(left.map(\.place)) { broker, result in
            guard !session.hasEnded else { return }
            defer { session.forgetUnusedShares() }
            guard case .success(let messages) = result else { return }
            let waiting = Set(session.queue.storedMessages.map(\.sequence))
            let outbound = zip(left, messages).compactMap { stored, loaded -> OutboundMessage? in
                guard let loaded, waiting.contains(stored.sequence) else { return nil }
                var message = OutboundMessage(loaded)
                message.share = stored.share
                message.place = stored.place
                return message
            }
            let taken = broker.passOn(outbound, of: shares)
            session.queue.remove(taken.map(\.sequence))
            for message in taken { broker.finish(message) }
        }
    }

    private func remainingMembers(of share: ShareNumber, in numbers: SessionShares) -> RemainingMembers {
        let list = numbers[share].flatMap { router.index.members(of: $0) }
        // At shutdown, sessions that end with their connection are about to end, too.
        return RemainingMembers(list) { [isShuttingDown] in !$0.hasEnded && (!isShuttingDown || $0.isPersistent) }
    }
}

extension Session {
    /// What goes to other members when the session ends.
    ///
    /// Not QoS 2 messages that were sent: their client may have them [MQTT-4.8.2-5].
    var messagesOfShares: [OutboundMessage] {
        guard !shares.isEmpty else { return [] }
        var messages: [OutboundMessage] = []
        window.forEach { _, entry in
            if entry.outbound.share != .none, entry.outbound.qos == .atLeastOnce { messages.append(entry.outbound) }
        }
        return messages + queue.messages.filter { $0.share != .none }
    }

    /// Those of them that are in the store alone.
    var storedMessagesOfShares: LeftInStore {
        guard !shares.isEmpty else { return LeftInStore(messages: [], shares: shares) }
        let inflight = storedInflight.filter { $0.share != .none && $0.state == .published }
        let queued = queue.storedMessages.filter { $0.share != .none }
        return LeftInStore(
            messages: inflight.map { StoredOfShare(place: $0.place, share: $0.share, isInflight: true) }
                + queued.map { StoredOfShare(place: $0.place, share: $0.share, isInflight: false) },
            shares: shares
        )
    }

    func forgetUnusedShares() {
        var used = Set(subscriptions.values.map(\.share))
        window.forEach { _, entry in used.insert(entry.outbound.share) }
        for outbound in queue.messages { used.insert(outbound.share) }
        for outbound in queue.storedMessages { used.insert(outbound.share) }
        for delivery in storedInflight { used.insert(delivery.share) }
        shares.keep(used)
    }
}

/// A message that a session has of a shared subscription, and that is in the store alone.
struct StoredOfShare {
    let place: StoredPlace
    let share: ShareNumber
    let isInflight: Bool
}

/// Messages of shared subscriptions that a session which is over has left in the store alone.
///
/// It has all that is needed to pass them on, and asks nothing of the session.
struct LeftInStore {
    let messages: [StoredOfShare]
    /// The shared subscriptions, as they were numbered when the session ended.
    let shares: SessionShares
}

/// The members of a shared subscription, in the order in which they take what another one has left: those that can be
/// sent a message now, then those that are connected, then those whose session keeps it for them.
///
/// Sorted once for all messages of the one that left: to look at all members for each message would take long where
/// there are many, and none has room.
private struct RemainingMembers {
    private let list: SubscriberList?
    private var ready: Deque<Subscription> = []
    private var connected: Deque<Subscription> = []
    private var away: Deque<Subscription> = []

    init(_ list: SubscriberList?, where isEligible: (Session) -> Bool) {
        self.list = list
        guard let list else { return }
        let members = list.subscriptions
        for step in members.indices {
            let member = members[(list.turn + 1 + step) % members.count]
            guard isEligible(member.session) else { continue }
            if member.session.isReady {
                ready.append(member)
            } else if member.session.connection != nil {
                connected.append(member)
            } else if member.options.qos != .atMostOnce {
                away.append(member)
            }
        }
    }

    /// Whose turn it is, among those that may receive the message.
    mutating func next(_ mayReceive: (Subscription) -> Bool) -> Subscription? {
        while let place = ready.firstIndex(where: mayReceive) {
            let member = ready.remove(at: place)
            guard member.session.isReady else {
                connected.append(member)
                continue
            }
            ready.append(member)
            return chosen(member)
        }
        if let place = connected.firstIndex(where: mayReceive) {
            let member = connected.remove(at: place)
            connected.append(member)
            return chosen(member)
        }
        if let place = away.firstIndex(where: mayReceive) {
            let member = away.remove(at: place)
            away.append(member)
            return chosen(member)
        }
        return nil
    }

    private func chosen(_ member: Subscription) -> Subscription {
        list?.turn = member.slot
        return member
    }
}
