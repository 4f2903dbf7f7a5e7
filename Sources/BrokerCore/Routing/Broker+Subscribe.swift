package import MQTTCodec

extension Broker {
    /// Subscribes a session to Topic Filters: SUBSCRIBE.
    ///
    /// - Parameters:
    ///   - identifier: the Subscription Identifier; nil without one.
    ///   - acknowledge: called once, before any retained message is delivered, with one Reason Code for each filter
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
        var request = SubscribeRequest(subscriptions, identifier)
        var steps = Int.max
        _ = subscribe(&request, session, &steps)
        count(effort: subscriptions.reduce(0) { $0 + Backlog.effort(of: $1.filter) })
        finish(request, acknowledge)
    }

    /// The same in slices, for a large SUBSCRIBE.
    ///
    /// - Parameter acknowledge: called once, at once or later; with nil when the connection has ended before the work
    ///   was done.
    package func subscribeInSlices(
        _ subscriptions: [Subscribe.Subscription],
        identifier: UInt32?,
        on connection: VirtualConnection,
        acknowledge: @escaping ([ReasonCode]?) -> Void
    ) {
        guard let session = connection.session else {
            return acknowledge(subscriptions.map { _ in .notAuthorized })
        }
        var request = SubscribeRequest(subscriptions, identifier)
        begin { broker, steps in
            guard connection.session === session else {
                acknowledge(nil)
                return true
            }
            guard broker.subscribe(&request, session, &steps) else { return false }
            broker.finish(request, acknowledge)
            return true
        }
    }

    /// - Returns: whether the session is subscribed to all of the request's filters.
    private func subscribe(_ request: inout SubscribeRequest, _ session: Session, _ steps: inout Int) -> Bool {
        while steps > 0, let wanted = request.rest.popFirst() {
            steps -= Backlog.effort(of: wanted.subscription.filter) / Backlog.step
            switch add(wanted, request.identifier, to: session) {
            case .failure(let failure):
                noteRefusal(.subscribe, wanted.subscription.filter, of: session, failure.reasonCode)
                request.refused[wanted.subscription.filter] = failure.reasonCode
            case .success(let added):
                guard added.wantsRetained else { continue }
                request.withRetained.append((added.subscription, added.subscription.options))
            }
        }
        return request.rest.isEmpty
    }

    private func finish(_ request: SubscribeRequest, _ acknowledge: ([ReasonCode]) -> Void) {
        acknowledge(
            request.subscriptions.map {
                request.refused[$0.filter] ?? ReasonCode(rawValue: granted($0.options.qos).rawValue)
            }
        )
        deliverRetained(for: request.withRetained)
    }

    private func granted(_ qos: QoS) -> QoS {
        min(qos, QoS(rawValue: UInt8(clamping: limits.maximumQoS)) ?? .exactlyOnce)
    }

    private func add(
        _ named: WantedFilter,
        _ identifier: UInt32,
        to session: Session
    ) -> Result<(subscription: Subscription, wantsRetained: Bool), RequestRefused> {
        let wanted = named.subscription
        guard let filter = try? TopicFilter(wanted.filter),
            filter.filter.utf8Span.span.bytes.levelCount <= limits.topicLevels
        else { return .failure(RequestRefused(reasonCode: .topicFilterInvalid)) }
        if let authorizer = access.authorizer, !authorizer.maySubscribe(filter.filter, client: session.identity) {
            return .failure(RequestRefused(reasonCode: .notAuthorized))
        }
        var options = wanted.options
        options.qos = granted(options.qos)

        let existing = session.interest.subscriptions[wanted.filter]
        // A returning client often subscribes to its existing filters again: that is no change, and writes nothing.
        let isChanged = existing.map { $0.options != options || $0.identifier != identifier } ?? true
        if isChanged, commits.isRefusing, session.isStored {
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
            let cost = Subscription.cost(filter)
            guard session.interest.subscriptions.count < limits.subscriptionsPerSession,
                accounts.sessionBytes.refusal(of: cost, for: session.holder) == nil
            else {
                statistics.subscriptionsRefused &+= 1
                return .failure(RequestRefused(reasonCode: .quotaExceeded))
            }
            session.counted.subscriptionBytes += cost
            recount(session)
            subscription = Subscription(session: session, filter: filter, options: options, identifier: identifier)
            session.interest.subscriptions[wanted.filter] = subscription
            router.insert(subscription)
        }
        if isChanged, session.isStored {
            recordingWrites(of: session) { journal?.append(.subscription(subscription.record, of: session.number)) }
        }
        let wantsRetained =
            filter.shareName == nil
            && (named.handling == .sendAtSubscribe || (named.handling == .sendIfNew && existing == nil))
        return .success((subscription, wantsRetained))
    }

    /// The Topic Filters of the connection's session, in no order.
    package func subscribedFilters(of connection: VirtualConnection) -> [String] {
        connection.session?.interest.subscriptions.values.map(\.filter.string) ?? []
    }

    /// Unsubscribes a session from Topic Filters: UNSUBSCRIBE; returns one Reason Code for each filter
    /// [MQTT-3.10.4-1].
    package func unsubscribe(_ filters: [String], on connection: VirtualConnection) -> [ReasonCode] {
        guard let session = connection.session else { return filters.map { _ in .notAuthorized } }
        var shares: Set<ShareNumber> = []
        let reasonCodes = filters.map { filter -> ReasonCode in
            guard let subscription = session.interest.subscriptions.removeValue(forKey: filter) else {
                return (try? TopicFilter(filter)) == nil ? .topicFilterInvalid : .noSubscriptionExisted
            }
            router.remove(subscription)
            session.counted.subscriptionBytes -= Subscription.cost(subscription.filter)
            recount(session)
            // No more messages are sent for the subscription, retained ones included [MQTT-3.10.4-2].
            forgetRetainedDelivery(for: subscription)
            if session.isStored {
                recordingWrites(of: session) { journal?.append(.removeSubscription(filter, of: session.number)) }
            }
            if subscription.share != .none { shares.insert(subscription.share) }
            return .success
        }
        if !shares.isEmpty { leave(shares, session) }
        count(effort: filters.reduce(0) { $0 + Backlog.effort(of: $1) })
        return reasonCodes
    }
}

/// One SUBSCRIBE and its progress.
private struct SubscribeRequest {
    let subscriptions: [Subscribe.Subscription]
    /// The Subscription Identifier; 0 without one.
    let identifier: UInt32
    var rest: ArraySlice<WantedFilter>
    var refused = ByteExactDictionary<ReasonCode>()
    var withRetained: [(subscription: Subscription, options: SubscriptionOptions)] = []

    init(_ subscriptions: [Subscribe.Subscription], _ identifier: UInt32?) {
        self.subscriptions = subscriptions
        self.identifier = identifier ?? 0
        rest = subscriptions.eachFilterOnce[...]
    }
}

/// One Topic Filter of a SUBSCRIBE.
private struct WantedFilter {
    /// The last occurrence of the filter in the packet [MQTT-3.8.4-3].
    var subscription: Subscribe.Subscription
    /// When retained messages are sent: any occurrence of the filter in the packet may ask for them.
    var handling: SubscriptionOptions.RetainHandling
}

extension [Subscribe.Subscription] {
    /// The filters of a packet without repetitions: each is subscribed to once, and its retained messages are sent
    /// once.
    ///
    /// The order is that of the first occurrences.
    fileprivate var eachFilterOnce: [WantedFilter] {
        guard count > 1 else { return map { WantedFilter(subscription: $0, handling: $0.options.retainHandling) } }
        var places = ByteExactDictionary<Int>()
        var once: [WantedFilter] = []
        for wanted in self {
            let handling = wanted.options.retainHandling
            if let place = places[wanted.filter] {
                once[place].subscription = wanted
                // Only the first occurrence makes a new subscription.
                if handling == .sendAtSubscribe { once[place].handling = handling }
            } else {
                places[wanted.filter] = once.count
                once.append(WantedFilter(subscription: wanted, handling: handling))
            }
        }
        return once
    }
}

extension Subscription {
    var record: SubscriptionRecord {
        SubscriptionRecord(
            filter: filter.string,
            options: options,
            identifier: identifier,
            isOwedRetained: isOwedRetained
        )
    }
}
