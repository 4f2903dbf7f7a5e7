import MQTTCodec

/// The destinations of one Topic Name's messages: the result of matching.
final class Route {
    /// One session that gets the message, with its matching subscriptions merged into one delivery at the highest QoS,
    /// carrying all their Subscription Identifiers (MQTT 5.0 §3.3.4).
    struct Destination {
        let session: Session
        fileprivate(set) var qos: QoS
        fileprivate(set) var retainAsPublished: Bool
        /// Subscription Identifiers and No Local; nil for most destinations, which have neither.
        fileprivate(set) var details: Details?
    }

    /// Data that few destinations need.
    final class Details {
        @exclusivity(unchecked) fileprivate(set) var identifiers: [UInt32]
        /// The merged subscriptions for messages of the session itself; nil when all of them have No Local.
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

        /// Bytes of the details.
        fileprivate var size: Int {
            128 + (identifiers.count + (own?.identifiers.count ?? 0)) * MemoryLayout<UInt32>.stride
        }
    }

    @exclusivity(unchecked) fileprivate(set) var topic: [UInt8] = []
    @exclusivity(unchecked) fileprivate(set) var topicHash: UInt64 = 0
    @exclusivity(unchecked) fileprivate(set) var generation: UInt64 = 0
    @exclusivity(unchecked) fileprivate(set) var destinations: ContiguousArray<Destination> = []
    @exclusivity(unchecked) fileprivate(set) var sharedGroups: ContiguousArray<SubscriberList> = []
    /// Bytes of the route in the cache.
    private(set) var bytes = 0

    init() {}

    /// Makes a copy without spare capacity.
    init(_ route: Route, topic: RawSpan, topicHash: UInt64, generation: UInt64, size: Int) {
        self.topic = topic.withUnsafeBytes { [UInt8]($0) }
        self.topicHash = topicHash
        self.generation = generation
        bytes = size
        destinations.reserveCapacity(route.destinations.count)
        destinations.append(contentsOf: route.destinations)
        sharedGroups.reserveCapacity(route.sharedGroups.count)
        sharedGroups.append(contentsOf: route.sharedGroups)
    }

    var isEmpty: Bool { destinations.isEmpty && sharedGroups.isEmpty }

    /// Bytes of a copy, without its topic.
    var size: Int {
        let lists =
            destinations.count * MemoryLayout<Destination>.stride
            + sharedGroups.count * MemoryLayout<SubscriberList>.stride
        return destinations.reduce(lists + 256) { $0 + ($1.details?.size ?? 0) }
    }
}

/// The subscription index with a cache of routes in front.
///
/// A route has only sessions that may receive its topic, so the authorizer's answers are cached as long as the route.
/// A topic is admitted to the cache the second time it is seen, so that topics that are used once do not replace
/// frequent ones. A change to a filter without wildcards drops one entry; a change to one with wildcards outdates all
/// entries, which are dropped step by step.
struct Router {
    private(set) var index: SubscriptionIndex
    private let hash: TopicHash
    private let authorizer: (any Authorizer)?
    private(set) var cache = RouteCache()
    private var seenOnce: ContiguousArray<UInt64>
    private var scratch = Route()
    /// The number of the current match, which shows whether a session is already in its route.
    private var matching: UInt64 = 0
    /// The cost of matches in visits; the owner resets it.
    var effort = 0

    init(hash: TopicHash = TopicHash(), authorizer: (any Authorizer)? = nil) {
        self.hash = hash
        self.authorizer = authorizer
        index = SubscriptionIndex(hash: hash)
        seenOnce = ContiguousArray(repeating: 0, count: RouteCache.places)
    }

    mutating func insert(_ subscription: Subscription) {
        index.insert(subscription)
        forgetRoute(of: subscription)
    }

    mutating func remove(_ subscription: Subscription) {
        index.remove(subscription)
        forgetRoute(of: subscription)
    }

    /// Applies options that have changed in place.
    mutating func update(_ subscription: Subscription) {
        index.remove(subscription)
        insert(subscription)
    }

    /// Outdates all routes, because the rights of clients may have changed.
    mutating func outdate() { index.outdate() }

    /// The route of a Topic Name; valid until the next change of subscriptions or the next call.
    @inline(__always)
    mutating func route(of topic: RawSpan) -> Route {
        let topicHash = hash(topic)
        let place = RouteCache.place(topicHash)
        if let cached = cache[place], cached.topicHash == topicHash, cached.generation == index.generation,
            topic.isEqual(to: cached.topic)
        {
            return cached
        }
        return findRoute(topic, topicHash, place)
    }

    @inline(never)
    private mutating func findRoute(_ topic: RawSpan, _ topicHash: UInt64, _ place: Int) -> Route {
        cache.forgetSome(before: index.generation)
        match(topic, topicHash, into: scratch)
        effort &+= 2 &* index.effort
        guard seenOnce[place] == topicHash else {
            seenOnce[place] = topicHash
            return scratch
        }
        return cache.insert(scratch, topic: topic, topicHash: topicHash, generation: index.generation) ?? scratch
    }

    private mutating func match(_ topic: RawSpan, _ topicHash: UInt64, into route: Route) {
        route.destinations.removeAll(keepingCapacity: true)
        route.sharedGroups.removeAll(keepingCapacity: true)
        matching &+= 1
        let current = matching
        var visited = 0
        // Each visit is a cache miss.
        defer { effort &+= 8 &* visited }
        guard let authorizer else {
            index.match(topic, hash: topicHash) { node in
                for subscription in node.plain.subscriptions { route.merge(subscription, matching: current) }
                visited &+= 1 &+ node.plain.subscriptions.count
                node.forEachShare { route.sharedGroups.append($0) }
            }
            return
        }
        let name = TopicName(validated: topic).string
        index.match(topic, hash: topicHash) { node in
            for subscription in node.plain.subscriptions
            where authorizer.mayReceive(name, client: subscription.session.identity) {
                route.merge(subscription, matching: current)
            }
            visited &+= 1 &+ node.plain.subscriptions.count
            node.forEachShare { route.sharedGroups.append($0) }
        }
    }

    private mutating func forgetRoute(of subscription: Subscription) {
        guard !subscription.filter.hasWildcards else { return cache.forgetSome(before: index.generation) }
        cache.remove(RouteCache.place(hash(subscription.filter.filter.utf8Span.span.bytes)))
    }
}

extension Route {
    /// Adds a matching subscription to the session's destination in this route.
    fileprivate func merge(_ subscription: Subscription, matching: UInt64) {
        let session = subscription.session
        // The session's subscriptions are being removed.
        if session.hasEnded { return }
        if session.routing.matching == matching {
            destinations[session.routing.position].merge(subscription)
        } else {
            session.routing.matching = matching
            session.routing.position = destinations.count
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
