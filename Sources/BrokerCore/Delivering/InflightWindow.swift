package import MQTTCodec

/// A message on its way to one client: queued, or sent and not yet acknowledged.
package struct OutboundMessage: Sendable {
    /// The message itself.
    package let message: Message
    /// The QoS of this delivery.
    package let qos: QoS
    /// The RETAIN flag of this delivery.
    package let retain: Bool
    /// Subscription Identifiers to send along.
    package let identifiers: [UInt32]
    /// The shared subscription it has come by.
    package internal(set) var share: ShareNumber
    /// Its place in the session's order of delivery.
    package let sequence: UInt64
    /// Where it is stored; `.none` when it is not.
    package internal(set) var place = StoredPlace.none

    package init(
        message: Message,
        qos: QoS,
        retain: Bool,
        identifiers: [UInt32],
        share: ShareNumber,
        sequence: UInt64
    ) {
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.share = share
        self.sequence = sequence
    }
}

/// The QoS 1 and 2 messages sent to one client and not yet acknowledged, in the order sent (MQTT 5.0 §4.4, §4.9).
///
/// A table with at least twice as many places as entries: an entry's place follows from its Packet Identifier. Identifiers
/// are handed out one after the other, but for those whose place is taken; so one that is never acknowledged is passed by
/// each time round, and nothing has to be searched. Entries name those sent before and after them.
package struct InflightWindow {
    /// How far an entry has come.
    package enum State: Sendable {
        /// PUBLISH sent; waiting for PUBACK or PUBREC.
        case published
        /// PUBREC received and PUBREL sent; waiting for PUBCOMP.
        case released
    }

    package struct Entry: Sendable {
        package let outbound: OutboundMessage
        package let state: State
    }

    private struct Place {
        /// nil where there is no entry.
        var outbound: OutboundMessage?
        var id: PacketID = 0
        /// The identifiers of the entries sent before and after it; 0 without one.
        var previous: PacketID = 0
        var next: PacketID = 0
        var state = State.published
        /// Whether its PUBLISH was sent on the present connection, whose send quota it uses then.
        var usesQuota = false
    }

    private static let identifiers = 65_535
    private static let smallest = 4

    /// As many as some power of two.
    private var places: ContiguousArray<Place> = []
    /// Unacknowledged entries.
    package private(set) var count = 0
    /// Bytes in memory of their messages.
    package private(set) var bytes = 0
    /// Those whose PUBLISH was sent on the present connection.
    private var quotaUsed = 0
    /// The identifier of the entry sent first, and of the one sent last; 0 when there is none.
    private var first: PacketID = 0
    private var last: PacketID = 0
    /// The identifier of the first entry whose PUBLISH is to be sent again; 0 when there is none.
    private var firstUnsent: PacketID = 0
    /// The identifier that is handed out next, if it can be.
    private var nextID: PacketID = 1

    package init() {}

    /// Places that memory is held for, whether there are entries in them or not.
    package var capacity: Int { places.count }

    /// Whether another message may be sent: the client's Receive Maximum is not used up, and an identifier is free.
    package func hasRoom(receiveMaximum: Int) -> Bool {
        count < receiveMaximum && count < Self.identifiers && !hasUnsent
    }

    /// Whether messages of a former connection wait to be sent again; new ones come after them [MQTT-4.6.0-1].
    package var hasUnsent: Bool { firstUnsent != 0 }

    // MARK: Connections

    /// A new connection: its send quota is unused, and every PUBLISH is to be sent again (MQTT 5.0 §4.9).
    package mutating func beginConnection() {
        var id = first
        while id != 0 {
            let place = place(of: id)
            places[place].usesQuota = false
            id = places[place].next
        }
        quotaUsed = 0
        firstUnsent = first
        skipToUnsent()
    }

    /// Takes the next message to be sent again, while the send quota lasts [MQTT-3.3.4-9].
    package mutating func takeUnsent(receiveMaximum: Int) -> (id: PacketID, outbound: OutboundMessage)? {
        guard quotaUsed < receiveMaximum, let place = takenPlace(of: firstUnsent),
            let outbound = places[place].outbound
        else { return nil }
        let id = firstUnsent
        places[place].usesQuota = true
        quotaUsed += 1
        firstUnsent = places[place].next
        skipToUnsent()
        return (id, outbound)
    }

    private mutating func skipToUnsent() {
        while let place = takenPlace(of: firstUnsent), places[place].state != .published {
            firstUnsent = places[place].next
        }
    }

    /// The connection is over: gives back memory that the entries there are do not need.
    package mutating func trim() {
        var capacity = Self.capacity(for: count)
        while capacity < places.count {
            if resize(to: capacity) { return }
            capacity *= 2
        }
    }

    // MARK: Entries

    /// Takes a message in and gives it a Packet Identifier [MQTT-2.2.1-3].
    ///
    /// Only after `hasRoom`.
    package mutating func admit(_ outbound: OutboundMessage) -> PacketID {
        if count * 2 >= places.count, places.count <= Self.identifiers {
            _ = resize(to: max(places.count * 2, Self.smallest))
        }
        while places[place(of: nextID)].id != 0 { nextID = Self.identifier(after: nextID) }
        let id = nextID
        append(outbound, id: id, state: .published, usesQuota: true)
        quotaUsed += 1
        return id
    }

    /// Puts a stored entry back under the identifier it had; entries come in the order they were sent.
    ///
    /// - Returns: false when another one has that identifier.
    package mutating func restore(_ outbound: OutboundMessage, id: PacketID, state: State) -> Bool {
        guard id != 0, takenPlace(of: id) == nil else { return false }
        let capacity = Self.capacity(for: count + 1)
        if capacity > places.count { _ = resize(to: capacity) }
        // It ends: in a table for all identifiers each has a place of its own.
        while places[place(of: id)].id != 0 { _ = resize(to: places.count * 2) }
        append(outbound, id: id, state: state, usesQuota: false)
        if firstUnsent == 0, state == .published { firstUnsent = id }
        return true
    }

    private mutating func append(_ outbound: consuming OutboundMessage, id: PacketID, state: State, usesQuota: Bool) {
        bytes &+= outbound.cost
        places[place(of: id)] = Place(
            outbound: outbound,
            id: id,
            previous: last,
            next: 0,
            state: state,
            usesQuota: usesQuota
        )
        if last == 0 { first = id } else { places[place(of: last)].next = id }
        last = id
        count += 1
        nextID = Self.identifier(after: id)
    }

    /// The entry with that Packet Identifier.
    package subscript(id id: PacketID) -> Entry? {
        guard let place = takenPlace(of: id), let outbound = places[place].outbound else { return nil }
        return Entry(outbound: outbound, state: places[place].state)
    }

    /// How far the entry with that Packet Identifier has come, and its QoS, without a copy of it; nil without one.
    @inline(__always)
    package func progress(of id: PacketID) -> (qos: QoS, state: State)? {
        guard let place = takenPlace(of: id), let qos = places[place].outbound?.qos else { return nil }
        return (qos, places[place].state)
    }

    /// PUBREC came: only PUBCOMP is waited for from now on [MQTT-4.3.3-4].
    package mutating func release(_ id: PacketID) {
        guard let place = takenPlace(of: id) else { return }
        places[place].state = .released
        if id == firstUnsent { skipToUnsent() }
    }

    /// PUBACK, PUBCOMP or a PUBREC with an error came: the identifier is free again.
    ///
    /// - Returns: what was sent under it.
    package mutating func complete(_ id: PacketID) -> OutboundMessage? {
        guard let place = takenPlace(of: id), let outbound = places[place].outbound.take() else { return nil }
        let previous = places[place].previous
        let next = places[place].next
        if previous == 0 { first = next } else { places[self.place(of: previous)].next = next }
        if next == 0 { last = previous } else { places[self.place(of: next)].previous = previous }
        if places[place].usesQuota { quotaUsed -= 1 }
        places[place].id = 0
        count -= 1
        bytes &-= outbound.cost
        if id == firstUnsent {
            firstUnsent = next
            skipToUnsent()
        }
        return outbound
    }

    /// All entries in the order they were sent [MQTT-4.6.0-1].
    package func forEach(_ body: (PacketID, Entry) -> Void) {
        var id = first
        while let place = takenPlace(of: id), let outbound = places[place].outbound {
            body(id, Entry(outbound: outbound, state: places[place].state))
            id = places[place].next
        }
    }

    // MARK: The table

    @inline(__always)
    private func place(of id: PacketID) -> Int { Int(id) & (places.count - 1) }

    /// The place of the entry with that identifier; nil without one.
    @inline(__always)
    private func takenPlace(of id: PacketID) -> Int? {
        guard id != 0, !places.isEmpty else { return nil }
        let place = place(of: id)
        return places[place].id == id ? place : nil
    }

    /// Moves the entries to a table of another size.
    ///
    /// - Returns: false when two of them would have the same place, which a larger table does not lead to.
    private mutating func resize(to capacity: Int) -> Bool {
        var resized = ContiguousArray(repeating: Place(), count: capacity)
        for place in places where place.id != 0 {
            let new = Int(place.id) & (capacity - 1)
            guard resized[new].id == 0 else { return false }
            resized[new] = place
        }
        places = resized
        return true
    }

    /// The smallest table for so many entries.
    private static func capacity(for count: Int) -> Int {
        var capacity = count == 0 ? 0 : smallest
        while capacity < count * 2, capacity <= identifiers { capacity *= 2 }
        return capacity
    }

    private static func identifier(after id: PacketID) -> PacketID { id == .max ? 1 : id + 1 }
}
