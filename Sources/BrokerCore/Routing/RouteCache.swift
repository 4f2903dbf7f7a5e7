/// A cache of routes, indexed by the hash of the topic.
///
/// It is bounded in routes and in bytes, since a route with many subscribers is large.
struct RouteCache {
    /// The number of routes at most; a power of two.
    static let places = 8_192
    /// Bytes of all routes at most.
    static let maximumBytes = 32 * 1_024 * 1_024
    /// Bytes of one route at most: 170,000 subscribers.
    static let maximumRouteBytes = 4 * 1_024 * 1_024

    /// Entries that one search for outdated routes visits, and bytes at which it stops.
    private static let lookedAt = 8
    private static let givenBack = 256 * 1_024

    private var routes = ContiguousArray<Route?>(repeating: nil, count: places)
    /// Bytes of the cached routes.
    private(set) var bytes = 0
    /// The index that the next search visits first.
    private var hand = 0

    @inline(__always)
    static func place(_ topicHash: UInt64) -> Int { Int(truncatingIfNeeded: topicHash) & (places - 1) }

    @inline(__always)
    subscript(place: Int) -> Route? { routes[place] }

    /// Caches a copy of a route in place of the entry with its index, and drops other routes to make room.
    ///
    /// - Returns: the copy; nil when the route is too large.
    mutating func insert(_ route: Route, topic: RawSpan, topicHash: UInt64, generation: UInt64) -> Route? {
        let size = route.size + topic.byteCount
        guard size <= Self.maximumRouteBytes else { return nil }
        let place = Self.place(topicHash)
        remove(place)
        while bytes + size > Self.maximumBytes { turn() }
        let copy = Route(route, topic: topic, topicHash: topicHash, generation: generation, size: size)
        routes[place] = copy
        bytes += size
        return copy
    }

    mutating func remove(_ place: Int) {
        guard let route = routes[place] else { return }
        bytes -= route.bytes
        routes[place] = nil
    }

    /// Searches a few entries for outdated routes, which may hold ended sessions, and drops them.
    mutating func forgetSome(before generation: UInt64) {
        guard bytes > 0 else { return }
        let enough = bytes - Self.givenBack
        for _ in 0..<Self.lookedAt where bytes > enough {
            turn { $0.generation != generation }
        }
    }

    private mutating func turn(_ isUnwanted: (Route) -> Bool = { _ in true }) {
        if let route = routes[hand], isUnwanted(route) { remove(hand) }
        hand = (hand + 1) & (Self.places - 1)
    }
}
