import MQTTCodec

/// Where messages of one Topic Name go: the result of matching, ready to be walked.
final class Route {
    /// One session that gets the message, with its matching subscriptions merged into one delivery at the highest QoS,
    /// carrying all their Subscription Identifiers (MQTT 5.0 §3.3.4).
    struct Destination {
        let session: Session
        var qos: QoS
        var retainAsPublished: Bool
        var identifiers: [UInt32]
        /// What of it remains for messages the session published itself: nil when every match said No Local.
        var own: OwnShare

        enum OwnShare {
            case same
            case nothing
            case reduced(qos: QoS, identifiers: [UInt32])
        }
    }

    fileprivate(set) var topic: [UInt8] = []
    fileprivate(set) var topicHash: UInt64 = 0
    fileprivate(set) var generation: UInt64 = 0
    fileprivate(set) var destinations: ContiguousArray<Destination> = []
    fileprivate(set) var sharedGroups: ContiguousArray<SubscriberList> = []

    var isEmpty: Bool { destinations.isEmpty && sharedGroups.isEmpty }
}

/// The subscription index with a cache of routes in front.
///
/// A topic is admitted to the cache the second time it is seen, so that a stream of topics used once does not push the
/// hot ones out. A change to a filter without wildcards drops one entry; a change to one with wildcards outdates all.
struct Router {
    private static let cacheSize = 8_192

    private var index: SubscriptionIndex
    private let hash: TopicHash
    private var cache: ContiguousArray<Route?>
    private var seenOnce: ContiguousArray<UInt64>
    private var scratch = Route()
    /// Numbers the matchings, to notice that a session is already in the route being made.
    private var matching: UInt64 = 0

    init(hash: TopicHash = TopicHash()) {
        self.hash = hash
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
        index.match(topic, hash: topicHash) { node in
            for subscription in node.plain.subscriptions { route.merge(subscription, matching: current) }
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
        let options = subscription.options
        let identifiers = subscription.identifier == 0 ? [] : [subscription.identifier]
        guard session.routeMatching == matching else {
            session.routeMatching = matching
            session.routePosition = destinations.count
            destinations.append(
                Destination(
                    session: session,
                    qos: options.qos,
                    retainAsPublished: options.retainAsPublished,
                    identifiers: identifiers,
                    own: options.noLocal ? .nothing : .same
                )
            )
            return
        }
        destinations[session.routePosition].merge(options, identifiers)
    }
}

extension Route.Destination {
    fileprivate mutating func merge(_ options: SubscriptionOptions, _ added: [UInt32]) {
        switch (own, options.noLocal) {
        case (.same, true): own = .reduced(qos: qos, identifiers: identifiers)
        case (.nothing, false): own = .reduced(qos: options.qos, identifiers: added)
        case (.reduced(let ownQoS, let ownIdentifiers), false):
            own = .reduced(qos: max(ownQoS, options.qos), identifiers: ownIdentifiers + added)
        case (.same, false), (.nothing, true), (.reduced, true): break
        }
        qos = max(qos, options.qos)
        retainAsPublished = retainAsPublished || options.retainAsPublished
        identifiers += added
    }
}
