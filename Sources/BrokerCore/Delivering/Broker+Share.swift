import DequeModule
import MQTTCodec

// Messages that a member of shared subscriptions has not taken go to other members (MQTT 5.0 §4.8.2).
extension Broker {
    /// Passes messages on for a client that has unsubscribed from shared subscriptions.
    ///
    /// It completes messages that it has been sent [MQTT-3.10.4-3]. Queued messages go to other members; without a
    /// member that can take it, a message stays and is delivered as after any other UNSUBSCRIBE.
    func leave(_ shares: Set<ShareNumber>, _ session: Session) {
        let waiting = session.queue.messages.filter { shares.contains($0.share) }
        let taken = passOn(waiting, of: session.interest.shares)
        session.queue.remove(taken.map(\.sequence))
        noteQueued(session)
        for outbound in taken { finish(outbound) }
        passOnStored(of: shares, session)
    }

    /// Delivers a session's messages of shared subscriptions to other members, as if they were published now.
    ///
    /// - Parameters:
    ///   - left: the messages, in the session's order of delivery.
    ///   - numbers: the shared subscriptions that the session has left, under the session's numbers.
    /// - Returns: the messages that the session need not keep, since another session has them or they have expired.
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
        // At shutdown, sessions without persistence are about to end, too.
        return RemainingMembers(list) { [isShuttingDown = registry.isShuttingDown] in
            !$0.hasEnded && (!isShuttingDown || $0.isPersistent)
        }
    }
}

extension Session {
    /// The messages in memory that go to other members when the session ends.
    ///
    /// QoS 2 messages that were sent are excluded, since the client may have them [MQTT-4.8.2-5]. It is empty when
    /// some of the messages are in the store alone, since those come first; see `Broker.leftInStore`.
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

/// The members of a shared subscription in the order in which they take the messages of a member that has left.
///
/// First come members that can be sent a message now, then connected members, then members whose session keeps it.
/// They are sorted once for all messages: to look at all members for each message would take long when there are many
/// members without room.
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

    /// The next of the members that may receive the message.
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
