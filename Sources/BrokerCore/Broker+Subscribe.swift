package import MQTTCodec

extension Broker {
    /// SUBSCRIBE.
    ///
    /// - Parameters:
    ///   - identifier: the Subscription Identifier; nil without one.
    ///   - acknowledge: called once, before any retained message is delivered, with one Reason Code a filter
    ///     [MQTT-3.8.4-6].
    package func subscribe(
        _ subscriptions: [Subscribe.Subscription],
        identifier: UInt32?,
        on connection: VirtualConnection,
        acknowledge: ([ReasonCode]) -> Void
    ) {
        guard let session = connection.session else {
            return acknowledge(subscriptions.map { _ in .notAuthorized })
        }
        // As they are asked for: a later filter of the same packet may change the subscription again [MQTT-3.8.4-5].
        var withRetained: [(subscription: Subscription, options: SubscriptionOptions)] = []
        acknowledge(
            subscriptions.map { wanted in
                switch add(wanted, identifier ?? 0, to: session) {
                case .failure(let refused): return refused.reasonCode
                case .success(let added):
                    if added.wantsRetained { withRetained.append((added.subscription, added.subscription.options)) }
                    return ReasonCode(rawValue: added.subscription.options.qos.rawValue)
                }
            }
        )
        for (subscription, options) in withRetained { deliverRetained(for: subscription, options) }
    }

    private func add(
        _ wanted: Subscribe.Subscription,
        _ identifier: UInt32,
        to session: Session
    ) -> Result<(subscription: Subscription, wantsRetained: Bool), RequestRefused> {
        guard let filter = try? TopicFilter(wanted.filter),
            filter.filter.utf8Span.span.bytes.levelCount <= limits.topicLevels
        else { return .failure(RequestRefused(reasonCode: .topicFilterInvalid)) }
        if let authorizer, !authorizer.maySubscribe(filter.filter, client: session.identity) {
            return .failure(RequestRefused(reasonCode: .notAuthorized))
        }
        var options = wanted.options
        options.qos = min(options.qos, QoS(rawValue: UInt8(clamping: limits.maximumQoS)) ?? .exactlyOnce)

        let existing = session.subscriptions[wanted.filter]
        // Clients that return tend to ask for what they have: that is no change, and writes nothing.
        let isChanged = existing.map { $0.options != options || $0.identifier != identifier } ?? true
        if isChanged, isStoreRefusing, session.isStored {
            return .failure(RequestRefused(reasonCode: storeRefusal(of: session)))
        }
        let subscription: Subscription
        if let existing {
            // A SUBSCRIBE with the same filter replaces the subscription [MQTT-3.8.4-3].
            existing.options = options
            existing.identifier = identifier
            if isChanged { router.update(existing) }
            subscription = existing
        } else {
            guard session.subscriptions.count < limits.subscriptionsPerSession else {
                return .failure(RequestRefused(reasonCode: .quotaExceeded))
            }
            subscription = Subscription(session: session, filter: filter, options: options, identifier: identifier)
            session.subscriptions[wanted.filter] = subscription
            router.insert(subscription)
        }
        if isChanged, session.isStored {
            recordingWrites(of: session) { journal?.append(.subscription(subscription.record, of: session.number)) }
        }
        let wantsRetained =
            filter.shareName == nil
            && (options.retainHandling == .sendAtSubscribe || (options.retainHandling == .sendIfNew && existing == nil))
        return .success((subscription, wantsRetained))
    }

    /// The Topic Filters that the connection's session is subscribed to, in no order.
    package func subscribedFilters(of connection: VirtualConnection) -> [String] {
        connection.session?.subscriptions.values.map(\.filter.string) ?? []
    }

    /// UNSUBSCRIBE; one Reason Code a filter [MQTT-3.10.4-1].
    package func unsubscribe(_ filters: [String], on connection: VirtualConnection) -> [ReasonCode] {
        guard let session = connection.session else { return filters.map { _ in .notAuthorized } }
        var shares: Set<ShareNumber> = []
        let reasonCodes = filters.map { filter -> ReasonCode in
            guard let subscription = session.subscriptions.removeValue(forKey: filter) else {
                return (try? TopicFilter(filter)) == nil ? .topicFilterInvalid : .noSubscriptionExisted
            }
            router.remove(subscription)
            if session.isStored {
                recordingWrites(of: session) { journal?.append(.removeSubscription(filter, of: session.number)) }
            }
            if subscription.share != .none { shares.insert(subscription.share) }
            return .success
        }
        if !shares.isEmpty { leave(shares, session) }
        return reasonCodes
    }
}

extension Subscription {
    var record: SubscriptionRecord {
        SubscriptionRecord(filter: filter.string, options: options, identifier: identifier)
    }
}
