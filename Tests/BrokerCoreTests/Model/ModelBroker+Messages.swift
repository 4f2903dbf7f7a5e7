import BrokerCore
import MQTTCodec

extension ModelBroker {
    // MARK: Publishing

    /// - Returns: whether any subscription matches.
    @discardableResult
    func publish(_ message: ModelMessage) -> Bool {
        // [MQTT-3.3.1-5], [MQTT-3.3.1-6]
        if message.retain {
            retained[message.topic.string] = message.text.isEmpty ? nil : message
            for session in sessions { session.owed.outdate(message.topic) }
        }
        var hasMatch = false
        var shared: Set<String> = []
        for session in sessions {
            var matching: [ModelSession.Subscribed] = []
            for subscribed in session.subscriptions.values where subscribed.filter.matches(message.topic) {
                hasMatch = true
                if subscribed.filter.shareName == nil {
                    // [MQTT-3.8.3-3]
                    if subscribed.options.noLocal, message.publisher == session.client { continue }
                    matching.append(subscribed)
                } else {
                    shared.insert(subscribed.filter.string)
                }
            }
            if let copy = copy(message, matching) { deliver(copy, to: session) }
        }
        for filter in shared { deliver(message, toOneOf: filter) }
        return hasMatch
    }

    /// One copy for all subscriptions that match, at the highest QoS, with all Subscription Identifiers
    /// [MQTT-3.3.4-2], [MQTT-3.3.4-3].
    private func copy(_ message: ModelMessage, _ matching: [ModelSession.Subscribed]) -> Copy? {
        guard let qos = matching.map(\.options.qos).max() else { return nil }
        return Copy(
            message,
            qos: min(qos, message.qos),
            retain: Set(matching.map { $0.options.retainAsPublished && message.retain }).sorted { !$0 && $1 },
            identifiers: matching.compactMap(\.identifier)
        )
    }

    func deliver(_ copy: Copy, to session: ModelSession) {
        guard copy.qos == .atMostOnce else { return enqueue(copy, session) }
        copy.sentAt = now
        if session.connection?.takesSmallOnly == true, copy.message.isLarge { return copy.lose() }
        copy.mayBeDropped = ending.contains { $0 === session }
        session.connection?.atMostOnce.append(copy, batch: batch)
    }

    /// A bounded queue follows its policy.
    private func enqueue(_ copy: Copy, _ session: ModelSession) {
        guard let limit = setting.queue else { return session.queue.append(copy, batch: batch) }
        let isFull = session.queue.count - session.sentAhead >= limit.messages
        session.queue.append(copy, batch: batch)
        if isFull {
            session.queue.drop(at: limit.whenFull == .dropOldest ? session.sentAhead : session.queue.count - 1)
            if limit.whenFull == .disconnect, session.connection != nil { overflowed.append(session) }
        }
        session.sendAhead()
    }

    // MARK: Subscribing

    func subscribe(_ session: ModelSession, _ wanted: [Subscribe.Subscription], identifier: UInt32?) throws {
        var named: Set<String> = []
        for first in wanted where named.insert(first.filter).inserted {
            // A filter that is named several times counts once, as it is named last; its retained messages are sent once.
            let all = wanted.filter { $0.filter == first.filter }
            let filter = try TopicFilter(first.filter)
            let options = all.last?.options ?? first.options
            let handling =
                all.contains { $0.options.retainHandling == .sendAtSubscribe }
                ? .sendAtSubscribe : first.options.retainHandling
            let isNew = session.subscriptions[first.filter] == nil
            // [MQTT-3.8.4-3]
            session.subscriptions[first.filter] = .init(
                filter: filter,
                options: options,
                identifier: identifier
            )
            // MQTT 5.0 §4.8.2: no retained messages for shared subscriptions. [MQTT-3.3.1-9] to [MQTT-3.3.1-11]
            guard filter.shareName == nil,
                handling == .sendAtSubscribe || (handling == .sendIfNew && isNew)
            else { continue }
            session.owed.remove(filter: first.filter)
            for copy in retainedCopies(for: session, first.filter) {
                session.owed.append(copy, by: first.filter)
            }
        }
    }

    /// What is retained now and matches a subscription.
    func retainedCopies(for session: ModelSession, _ filter: String) -> [Copy] {
        guard let subscribed = session.subscriptions[filter] else { return [] }
        return retained.values.filter { message in
            subscribed.filter.matches(message.topic) && !isExpired(message)
                && !(subscribed.options.noLocal && message.publisher == session.client)
        }.map { message in
            Copy(
                message,
                qos: min(subscribed.options.qos, message.qos),
                retain: [true],
                identifiers: [subscribed.identifier].compactMap { $0 }
            )
        }
    }

    func isRetained(_ topic: String) -> Bool { retained[topic].map { !isExpired($0) } ?? false }

    private func isExpired(_ message: ModelMessage) -> Bool { message.expiresAt.map { $0 <= now } ?? false }
}
