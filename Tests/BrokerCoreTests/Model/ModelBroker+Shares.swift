import BrokerCore
import MQTTCodec

/// Shared subscriptions (MQTT 5.0 §4.8.2).
extension ModelBroker {
    typealias Member = (session: ModelSession, subscribed: ModelSession.Subscribed)

    /// One member gets a message.
    ///
    /// - Returns: false when there is none for it.
    @discardableResult
    func deliver(_ message: ModelMessage, toOneOf filter: String) -> Bool {
        let able = members(filter, for: message)
        guard !able.isEmpty else { return false }
        let share = Share(filter: filter, text: message.text)
        shares.append(share)
        for member in able { deliver(message, to: member, share) }
        return true
    }

    func unsubscribe(_ session: ModelSession, _ filters: [String]) -> [ReasonCode] {
        let codes = filters.map { filter -> ReasonCode in
            session.subscriptions.removeValue(forKey: filter) == nil ? .noSubscriptionExisted : .success
        }
        // What it was sent it completes [MQTT-3.10.4-3]; what waits goes to others, if there are any.
        let left = Set(zip(filters, codes).filter { $0.1 == .success }.map(\.0))
        // [MQTT-3.10.4-2]
        for filter in left { session.owed.remove(filter: filter) }
        passOnQueue(of: session) { left.contains($0.filter) }
        return codes
    }

    /// The session is over: its messages go to other members, but not those at QoS 2 that it was sent [MQTT-4.8.2-5].
    func passOn(_ session: ModelSession) {
        for entry in session.inflight where entry.copy.qos == .atLeastOnce && !entry.copy.isExpired(at: now) {
            guard let filter = entry.copy.share?.filter else { continue }
            if isOrdered { nextBatch() }
            if deliver(entry.copy.message, toOneOf: filter) { passedOn.sent += 1 }
        }
        passOnQueue(of: session) { _ in true }
    }

    /// Should this session have had them, other members have them now, behind what they have.
    private func passOnQueue(of session: ModelSession, where isLeft: (Share) -> Bool) {
        for copies in session.queue.inOrder {
            if isOrdered { nextBatch() }
            for copy in copies {
                guard let share = copy.share, isLeft(share), !copy.isVoid else { continue }
                let able = members(share.filter, for: copy.message)
                guard !able.isEmpty else { continue }
                if share.isSettled { passedOn.waiting += 1 }
                for member in able { deliver(copy.message, to: member, share) }
                copy.ruleOut()
            }
        }
    }

    /// Those of whom one gets it: members that are connected, else those whose session keeps it.
    private func members(_ filter: String, for message: ModelMessage) -> [Member] {
        let able = sessions.compactMap { session -> Member? in
            guard let subscribed = session.subscriptions[filter] else { return nil }
            let qos = min(subscribed.options.qos, message.qos)
            return session.connection != nil || qos != .atMostOnce ? (session, subscribed) : nil
        }
        let present = able.filter { $0.session.connection != nil }
        return present.isEmpty ? able : present
    }

    private func deliver(_ message: ModelMessage, to member: Member, _ share: Share) {
        let options = member.subscribed.options
        share.add()
        deliver(
            Copy(
                message,
                qos: min(options.qos, message.qos),
                retain: [options.retainAsPublished && message.retain],
                identifiers: [member.subscribed.identifier].compactMap { $0 },
                share: share
            ),
            to: member.session
        )
    }
}
