/// Routes that are remembered, each at the place that its topic's hash says.
///
/// Bounded in routes, and in bytes: what many subscribers make large counts for what it is.
struct RouteCache {
    /// Routes, at most; a power of two.
    static let places = 8_192
    /// Bytes of all routes, at most.
    static let maximumBytes = 32 * 1_024 * 1_024
    /// Bytes of one route, at most: 170,000 subscribers.
    static let maximumRouteBytes = 4 * 1_024 * 1_024

    /// Places that are looked at, and bytes that are given back, each time that outdated routes are looked for.
    private static let lookedAt = 8
    private static let givenBack = 256 * 1_024

    private var routes = ContiguousArray<Route?>(repeating: nil, count: places)
    /// Bytes of the routes that are remembered.
    private(set) var bytes = 0
    /// The place that is looked at next.
    private var hand = 0

    @inline(__always)
    static func place(_ topicHash: UInt64) -> Int { Int(truncatingIfNeeded: topicHash) & (places - 1) }

    @inline(__always)
    subscript(place: Int) -> Route? { routes[place] }

    /// Remembers a copy of a route in place of what stood there, and forgets others where there is no room for it.
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

    /// Looks for some routes that are outdated, which hold sessions that may be over, and forgets them.
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
