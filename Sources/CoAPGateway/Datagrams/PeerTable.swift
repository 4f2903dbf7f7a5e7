import BrokerCore
package import CSockets
package import NIOCore

/// The peers of a socket; sans I/O.
///
/// All of them by address and by name, and those that may be forgotten in the order they were heard. Those that have proven
/// that their address is theirs are kept apart, and so are those that were heard more than once, which anybody can make of
/// any address: however many of the others come, they stay. Everything takes the same time for any number of peers.
package struct PeerTable {
    /// How many peers may be remembered without a reason.
    package struct Bounds: Sendable {
        /// Peers that nobody holds; the one heard longest ago gives way.
        package var idle: Int
        /// Of them, peers that were heard once.
        package var strangers: Int
        /// Peers that have proven nothing, and that somebody holds, an observation for example.
        package var heldStrangers: Int

        package init(idle: Int, strangers: Int, heldStrangers: Int) {
            self.idle = idle
            self.strangers = strangers
            self.heldStrangers = heldStrangers
        }
    }

    private enum List: Int {
        /// Heard once.
        case strangers
        /// Not proven, and held by somebody.
        case heldStrangers
        /// Heard more than once, and not proven.
        case familiar
        case proven
    }

    private struct Slot {
        var peer: Peer?
        /// How often the slot was given to another peer: the name of the last one is not the name of the next.
        var generation: UInt32 = 0
        var list: List?
        /// Neighbours in the list.
        var earlier: UInt32 = none
        var later: UInt32 = none
    }

    private struct Ends {
        var first: UInt32 = none
        var last: UInt32 = none
        var count = 0
    }

    private static let none = UInt32.max

    private let bounds: Bounds
    private var slots: ContiguousArray<Slot> = []
    private var free: [UInt32] = []
    /// The place of each address; the address itself is with its peer.
    private var places = HashIndex()
    private var lists = (Ends(), Ends(), Ends(), Ends())
    private var acquaintances = Acquaintances()

    package init(_ bounds: Bounds) { self.bounds = bounds }

    /// Peers remembered.
    package var count: Int { places.count }
    /// Peers that were heard once, or are held without a proof.
    package var strangers: Int { lists.0.count + lists.1.count }
    /// Peers that nobody holds.
    private var idle: Int { lists.0.count + lists.2.count + lists.3.count }
    /// When one that was heard more than once had to give way last.
    private var wasFullAt: NIODeadline?

    /// Whether there are half as many strangers somebody holds as there may be.
    package var isFullOfStrangers: Bool { lists.1.count > bounds.heldStrangers / 2 }

    /// Whether it matters who has proven something: those that were heard more than once have to give way.
    package func isCrowded(now: NIODeadline) -> Bool { wasFullAt.map { $0 + .seconds(60) > now } ?? false }

    package subscript(address: PeerAddress) -> Peer? { place(of: address).flatMap { slots[Int($0)].peer } }

    package subscript(id: EndpointID) -> Peer? {
        let place = Int(id.rawValue & 0xffff_ffff)
        guard place < slots.count, slots[place].generation == UInt32(truncatingIfNeeded: id.rawValue >> 32) else {
            return nil
        }
        return slots[place].peer
    }

    // MARK: Coming and going

    /// Remembers a peer.
    ///
    /// - Parameters:
    ///   - isProven: whether its address is its own.
    ///   - isStranger: whether it is one although its address was heard before: its session will tell who it is.
    /// - Returns: the peer, and those who have to give way to it: they are forgotten.
    package mutating func enter(
        _ address: PeerAddress,
        _ path: datagram_path_t,
        isProven: Bool = false,
        isStranger: Bool = false,
        now: NIODeadline
    ) -> (peer: Peer, forgotten: [Peer]) {
        let isKnown = !isStranger && (isProven || acquaintances.meet(address))
        var forgotten: [Peer] = []
        // Those who were idle when they came in may be held by now.
        while lists.1.count >= max(bounds.heldStrangers, 1) { makeRoom(&forgotten, [.heldStrangers], now) }
        if !isKnown, lists.0.count >= bounds.strangers { makeRoom(&forgotten, [.strangers], now) }
        if idle >= bounds.idle {
            makeRoom(&forgotten, isKnown ? [.familiar, .strangers, .proven] : [.strangers, .familiar, .proven], now)
        }
        if let former = self[address] {
            remove(former)
            forgotten.append(former)
        }
        let place = free.popLast() ?? UInt32(slots.count)
        if place == slots.count { slots.append(Slot()) }
        let id = EndpointID(rawValue: UInt(slots[Int(place)].generation) << 32 | UInt(place))
        let peer = Peer(address, path, id: id, isKnown: isKnown, isProven: isProven, now: now)
        slots[Int(place)].peer = peer
        places.insert(address.bits, row: Int32(bitPattern: place))
        list(place)
        return (peer, forgotten)
    }

    /// Forgets the peer that was heard longest ago, of the first of these lists that has any.
    private mutating func makeRoom(_ forgotten: inout [Peer], _ lists: [List], _ now: NIODeadline) {
        for list in lists {
            guard self[list].first != Self.none, let peer = slots[Int(self[list].first)].peer else { continue }
            if peer.isKnown { wasFullAt = now }
            remove(peer)
            return forgotten.append(peer)
        }
    }

    /// Everybody who is remembered.
    var peers: [Peer] { slots.compactMap(\.peer) }

    /// The peer's session is over: its address is free for another one, and its name is good until it is removed.
    ///
    /// - Returns: whether it was not over before.
    mutating func leave(_ peer: Peer) -> Bool {
        guard !peer.hasLeft, let place = place(of: peer) else { return false }
        unlist(place)
        places.remove(peer.address.bits, row: Int32(bitPattern: place))
        peer.hasLeft = true
        return true
    }

    /// Forgets a peer; its name means nobody from now on.
    package mutating func remove(_ peer: Peer) {
        guard let place = place(of: peer) else { return }
        unlist(place)
        if !peer.hasLeft { places.remove(peer.address.bits, row: Int32(bitPattern: place)) }
        slots[Int(place)].peer = nil
        slots[Int(place)].generation &+= 1
        free.append(place)
    }

    /// Forgets the peer that was heard longest ago, if nobody holds it and that was before then.
    package mutating func popIdle(heardBefore limit: NIODeadline) -> Peer? {
        for list in [List.strangers, .familiar, .proven] {
            let place = self[list].first
            guard place != Self.none, let peer = slots[Int(place)].peer, peer.heardAt < limit else { continue }
            remove(peer)
            return peer
        }
        return nil
    }

    /// Forgets everybody.
    package mutating func removeAll() { self = PeerTable(bounds) }

    // MARK: What is heard of them

    /// The peer was heard again.
    package mutating func heard(_ peer: Peer) {
        guard let place = place(of: peer) else { return }
        peer.isKnown = true
        guard slots[Int(place)].list != nil else { return }
        unlist(place)
        list(place)
    }

    /// The peer's address is its own.
    package mutating func prove(_ peer: Peer) {
        peer.isProven = true
        heard(peer)
    }

    package mutating func hold(_ peer: Peer) {
        peer.holds += 1
        if peer.holds == 1 { relist(peer) }
    }

    package mutating func release(_ peer: Peer) {
        guard peer.holds > 0 else { return }
        peer.holds -= 1
        if peer.holds == 0 { relist(peer) }
    }

    // MARK: Lists

    private func place(of address: PeerAddress) -> Int32? {
        places.find(address.bits) { slots[Int($0)].peer?.address == address }
    }

    private func place(of peer: Peer) -> UInt32? {
        let place = UInt32(truncatingIfNeeded: peer.id.rawValue)
        return slots[Int(place)].peer === peer ? place : nil
    }

    private subscript(list: List) -> Ends {
        get {
            switch list {
            case .strangers: lists.0
            case .heldStrangers: lists.1
            case .familiar: lists.2
            case .proven: lists.3
            }
        }
        set {
            switch list {
            case .strangers: lists.0 = newValue
            case .heldStrangers: lists.1 = newValue
            case .familiar: lists.2 = newValue
            case .proven: lists.3 = newValue
            }
        }
    }

    private mutating func relist(_ peer: Peer) {
        guard let place = place(of: peer) else { return }
        unlist(place)
        list(place)
    }

    /// Puts a peer at the end of the list it belongs to; proven ones that are held belong to none.
    private mutating func list(_ place: UInt32) {
        guard let peer = slots[Int(place)].peer, !peer.hasLeft, !(peer.isProven && peer.holds > 0) else { return }
        let list: List =
            peer.isProven ? .proven : peer.holds > 0 ? .heldStrangers : peer.isKnown ? .familiar : .strangers
        let last = self[list].last
        slots[Int(place)].list = list
        slots[Int(place)].earlier = last
        slots[Int(place)].later = Self.none
        if last == Self.none { self[list].first = place } else { slots[Int(last)].later = place }
        self[list].last = place
        self[list].count += 1
    }

    private mutating func unlist(_ place: UInt32) {
        guard let list = slots[Int(place)].list else { return }
        let (earlier, later) = (slots[Int(place)].earlier, slots[Int(place)].later)
        if earlier == Self.none { self[list].first = later } else { slots[Int(earlier)].later = later }
        if later == Self.none { self[list].last = earlier } else { slots[Int(later)].earlier = earlier }
        self[list].count -= 1
        slots[Int(place)].list = nil
    }
}
