import MQTTCodec

/// Where messages of one Topic Name go: the result of matching, ready to be walked.
final class Route {
    /// One session that gets the message, with its matching subscriptions merged into one delivery at the highest QoS,
    /// carrying all their Subscription Identifiers (MQTT 5.0 §3.3.4).
    struct Destination {
        let session: Session
        fileprivate(set) var qos: QoS
        fileprivate(set) var retainAsPublished: Bool
        /// nil for the great majority, which has neither Subscription Identifiers nor No Local.
        fileprivate(set) var details: Details?
    }

    /// What few destinations need.
    final class Details {
        @exclusivity(unchecked) fileprivate(set) var identifiers: [UInt32]
        /// What remains for messages the session published itself; nil when every match said No Local.
        @exclusivity(unchecked) fileprivate(set) var own: Own?

        struct Own {
            var qos: QoS
            var retainAsPublished: Bool
            var identifiers: [UInt32]

            init(_ options: SubscriptionOptions, _ identifiers: [UInt32]) {
                qos = options.qos
                retainAsPublished = options.retainAsPublished
                self.identifiers = identifiers
            }

            mutating func merge(_ options: SubscriptionOptions, _ identifiers: [UInt32]) {
                qos = max(qos, options.qos)
                retainAsPublished = retainAsPublished || options.retainAsPublished
                self.identifiers += identifiers
            }
        }

        fileprivate init(identifiers: [UInt32], own: Own?) {
            self.identifiers = identifiers
            self.own = own
        }
    }

    @exclusivity(unchecked) fileprivate(set) var topic: [UInt8] = []
    @exclusivity(unchecked) fileprivate(set) var topicHash: UInt64 = 0
    @exclusivity(unchecked) fileprivate(set) var generation: UInt64 = 0
    @exclusivity(unchecked) fileprivate(set) var destinations: ContiguousArray<Destination> = []
    @exclusivity(unchecked) fileprivate(set) var sharedGroups: ContiguousArray<SubscriberList> = []

    var isEmpty: Bool { destinations.isEmpty && sharedGroups.isEmpty }
}

/// The subscription index with a cache of routes in front.
///
/// A route has only sessions that may receive its topic, so what the authorizer says is remembered as long as the route.
/// A topic is admitted to the cache the second time it is seen, so that a stream of topics used once does not push the
/// hot ones out. A change to a filter without wildcards drops one entry; a change to one with wildcards outdates all.
struct Router {
    private static let cacheSize = 8_192

    private(set) var index: SubscriptionIndex
    private let hash: TopicHash
    private let authorizer: (any Authorizer)?
    private var cache: ContiguousArray<Route?>
    private var seenOnce: ContiguousArray<UInt64>
    private var scratch = Route()
    /// Numbers the matchings, to notice that a session is already in the route being made.
    private var matching: UInt64 = 0

    init(hash: TopicHash = TopicHash(), authorizer: (any Authorizer)? = nil) {
        self.hash = hash
        self.authorizer = authorizer
        index = SubscriptionIndex(hash: hash)
        cache = ContiguousArray(repeating: nil, count: Self.cacheSize)
        seenOnce = ContiguousArray(repeating: 0, count: Self.cacheSize)
    }

    mutating func insert(_ subscription: Subscription) {
        index.insert(subscription)
        forgetRoute(of: subscription)
    }

    mutating func remove(_ subscription: Subscription) {
        index.remove(subscription)
        forgetRoute(of: subscription)
    }

    /// The options of a subscription have changed in place.
    mutating func update(_ subscription: Subscription) {
        index.remove(subscription)
        insert(subscription)
    }

    /// Forgets all routes, because somebody may receive other topics than before.
    mutating func outdate() { index.outdate() }

    /// The route of a Topic Name; valid until the next change of subscriptions or the next call.
    @inline(__always)
    mutating func route(of topic: RawSpan) -> Route {
        let topicHash = hash(topic)
        let place = Int(truncatingIfNeeded: topicHash) & (Self.cacheSize - 1)
        if let cached = cache[place], cached.topicHash == topicHash, cached.generation == index.generation,
            topic.isEqual(to: cached.topic)
        {
            return cached
        }
        return findRoute(topic, topicHash, place)
    }

    @inline(never)
    private mutating func findRoute(_ topic: RawSpan, _ topicHash: UInt64, _ place: Int) -> Route {
        let admitted = seenOnce[place] == topicHash
        let route = admitted ? Route() : scratch
        match(topic, topicHash, into: route)
        guard admitted else {
            seenOnce[place] = topicHash
            return route
        }
        route.topic = topic.withUnsafeBytes { [UInt8]($0) }
        route.topicHash = topicHash
        route.generation = index.generation
        cache[place] = route
        return route
    }

    private mutating func match(_ topic: RawSpan, _ topicHash: UInt64, into route: Route) {
        route.destinations.removeAll(keepingCapacity: true)
        route.sharedGroups.removeAll(keepingCapacity: true)
        matching &+= 1
        let current = matching
        guard let authorizer else {
            index.match(topic, hash: topicHash) { node in
                for subscription in node.plain.subscriptions { route.merge(subscription, matching: current) }
                for group in node.shared { route.sharedGroups.append(group.members) }
            }
            return
        }
        let name = TopicName(validated: topic).string
        index.match(topic, hash: topicHash) { node in
            for subscription in node.plain.subscriptions
            where authorizer.mayReceive(name, client: subscription.session.identity) {
                route.merge(subscription, matching: current)
            }
            for group in node.shared { route.sharedGroups.append(group.members) }
        }
    }

    private mutating func forgetRoute(of subscription: Subscription) {
        guard !subscription.filter.hasWildcards else { return }
        let place = Int(truncatingIfNeeded: hash(subscription.filter.filter.utf8Span.span.bytes)) & (Self.cacheSize - 1)
        cache[place] = nil
    }
}

extension Route {
    /// Adds a matching subscription, merged with what the session already has in this route.
    fileprivate func merge(_ subscription: Subscription, matching: UInt64) {
        let session = subscription.session
        if session.routeMatching == matching {
            destinations[session.routePosition].merge(subscription)
        } else {
            session.routeMatching = matching
            session.routePosition = destinations.count
            destinations.append(Destination(subscription))
        }
    }
}

extension Route.Destination {
    fileprivate init(_ subscription: Subscription) {
        let options = subscription.options
        session = subscription.session
        qos = options.qos
        retainAsPublished = options.retainAsPublished
        if subscription.identifier != 0 || options.noLocal {
            let identifiers = subscription.identifierList
            details = Route.Details(
                identifiers: identifiers,
                own: options.noLocal ? nil : .init(options, identifiers)
            )
        }
    }

    fileprivate mutating func merge(_ subscription: Subscription) {
        let options = subscription.options
        if details != nil || subscription.identifier != 0 || options.noLocal {
            let former = SubscriptionOptions(qos: qos, retainAsPublished: retainAsPublished)
            let details = details ?? Route.Details(identifiers: [], own: .init(former, []))
            let identifiers = subscription.identifierList
            details.identifiers += identifiers
            if !options.noLocal {
                if details.own == nil {
                    details.own = .init(options, identifiers)
                } else {
                    details.own?.merge(options, identifiers)
                }
            }
            self.details = details
        }
        qos = max(qos, options.qos)
        retainAsPublished = retainAsPublished || options.retainAsPublished
    }
}
