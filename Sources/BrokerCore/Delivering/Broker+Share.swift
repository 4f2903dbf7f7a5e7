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
        let taken = passOn(waiting, of: session.interest.shares)
        session.queue.remove(taken.map(\.sequence))
        noteQueued(session)
        for outbound in taken { finish(outbound) }
        passOnStored(of: shares, session)
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
            let name = access.authorizer == nil ? "" : outbound.message.topic.string
            let member = shares[outbound.share, default: remainingMembers(of: outbound.share, in: numbers)].next {
                access.authorizer?.mayReceive(name, client: $0.session.identity) ?? true
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

    private func remainingMembers(of share: ShareNumber, in numbers: SessionShares) -> RemainingMembers {
        let list = numbers[share].flatMap { router.index.members(of: $0) }
        // At shutdown, sessions that end with their connection are about to end, too.
        return RemainingMembers(list) { [isShuttingDown = registry.isShuttingDown] in
            !$0.hasEnded && (!isShuttingDown || $0.isPersistent)
        }
    }
}

extension Session {
    /// What goes to other members when the session ends, as far as it is in memory.
    ///
    /// Not QoS 2 messages that were sent: their client may have them [MQTT-4.8.2-5]. Nothing when some of it is in the
    /// store alone, and comes first; see `Broker.leftInStore`.
    var messagesOfShares: [OutboundMessage] {
        guard !interest.shares.isEmpty, storage.inflight.isEmpty else { return [] }
        var messages: [OutboundMessage] = []
        window.forEach { _, entry in
            if entry.outbound.share != .none, entry.outbound.qos == .atLeastOnce { messages.append(entry.outbound) }
        }
        return messages + queue.messages.filter { $0.share != .none }
    }

    /// Whether the client is a member of a shared subscription.
    func isMember(of share: ShareNumber) -> Bool {
        interest.shares[share].flatMap { interest.subscriptions[$0.string] } != nil
    }

    func forgetUnusedShares() {
        var used = Set(interest.subscriptions.values.map(\.share))
        window.forEach { _, entry in used.insert(entry.outbound.share) }
        for outbound in queue.messages { used.insert(outbound.share) }
        for outbound in queue.storedMessages { used.insert(outbound.share) }
        for delivery in storage.inflight { used.insert(delivery.share) }
        interest.shares.keep(used)
    }
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
