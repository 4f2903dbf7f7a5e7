package import MQTTCodec

/// A pending delivery of a message to one client: queued, or sent and not yet acknowledged.
package struct OutboundMessage: Sendable {
    /// The message itself.
    package let message: Message
    /// The QoS of this delivery.
    package let qos: QoS
    /// The RETAIN flag of this delivery.
    package let retain: Bool
    /// Subscription Identifiers that are sent with it.
    package let identifiers: [UInt32]
    /// The shared subscription by which it was delivered.
    package internal(set) var share: ShareNumber
    /// Its position in the session's order of delivery.
    package let sequence: UInt64
    /// Its delivery in the store; `.none` when it is not stored.
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
/// It is a table with at least twice as many slots as entries: the slot of an entry follows from its Packet
/// Identifier. Identifiers are handed out in sequence, except those whose slot is in use, so an identifier that is
/// never acknowledged is skipped each time, and nothing is searched. Entries name those sent before and after them.
package struct InflightWindow {
    /// The state of an entry.
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
        /// The delivery; nil in a free slot.
        var outbound: OutboundMessage?
        var id: PacketID = 0
        /// The identifiers of the entries sent directly before and after it; 0 without one.
        var previous: PacketID = 0
        var next: PacketID = 0
        var state = State.published
        /// Whether its PUBLISH was sent on the present connection and uses its send quota.
        var usesQuota = false
    }

    private static let identifiers = 65_535
    private static let smallest = 4

    /// The slots; their number is a power of two.
    private var places: ContiguousArray<Place> = []
    /// Unacknowledged entries.
    package private(set) var count = 0
    /// Bytes in memory of their messages.
    package private(set) var bytes = 0
    /// Entries whose PUBLISH was sent on the present connection.
    private var quotaUsed = 0
    /// The identifier of the entry sent first, and of the one sent last; 0 when there is none.
    private var first: PacketID = 0
    private var last: PacketID = 0
    /// The identifier of the first entry whose PUBLISH is to be sent again; 0 when there is none.
    private var firstUnsent: PacketID = 0
    /// The next identifier to hand out, if its slot is free.
    private var nextID: PacketID = 1

    package init() {}

    /// Slots, in use or free.
    package var capacity: Int { places.count }

    /// Whether another message may be sent: the client's Receive Maximum is not used up, and an identifier is free.
    package func hasRoom(receiveMaximum: Int) -> Bool {
        count < receiveMaximum && count < Self.identifiers && !hasUnsent
    }

    /// Whether messages of a former connection are still to be sent again; new messages come after them
    /// [MQTT-4.6.0-1].
    package var hasUnsent: Bool { firstUnsent != 0 }

    // MARK: Connections

    /// Begins a connection: its send quota is unused, and every PUBLISH is to be sent again (MQTT 5.0 §4.9).
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

    /// The next message to be sent again; nil when the send quota is used up [MQTT-3.3.4-9].
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

    /// Releases spare memory when a connection has ended.
    package mutating func trim() {
        var capacity = Self.capacity(for: count)
        while capacity < places.count {
            if resize(to: capacity) { return }
            capacity *= 2
        }
    }

    // MARK: Entries

    /// Adds a message and gives it a Packet Identifier [MQTT-2.2.1-3].
    ///
    /// To be called only after `hasRoom`.
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

    /// Restores a stored entry under its former identifier; entries come in the order in which they were sent.
    ///
    /// - Returns: false when another entry has that identifier.
    package mutating func restore(_ outbound: OutboundMessage, id: PacketID, state: State) -> Bool {
        guard id != 0, takenPlace(of: id) == nil else { return false }
        let capacity = Self.capacity(for: count + 1)
        if capacity > places.count { _ = resize(to: capacity) }
        // The loop ends: in a table for all identifiers, each has a slot of its own.
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

    /// The state of the entry with that Packet Identifier, and its QoS, without a copy of the entry; nil without one.
    @inline(__always)
    package func progress(of id: PacketID) -> (qos: QoS, state: State)? {
        guard let place = takenPlace(of: id), let qos = places[place].outbound?.qos else { return nil }
        return (qos, places[place].state)
    }

    /// Marks an entry as released by PUBREC: from now on it waits for PUBCOMP [MQTT-4.3.3-4].
    ///
    /// - Returns: its delivery in the store; `.none` when it is not stored, or without an entry.
    @discardableResult
    package mutating func release(_ id: PacketID) -> StoredPlace {
        guard let place = takenPlace(of: id) else { return .none }
        places[place].state = .released
        if id == firstUnsent { skipToUnsent() }
        return places[place].outbound?.place ?? .none
    }

    /// Removes an entry on PUBACK, PUBCOMP or a PUBREC with an error: its identifier is free again.
    ///
    /// - Returns: the delivery.
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

    /// The slot of the entry with that identifier; nil without one.
    @inline(__always)
    private func takenPlace(of id: PacketID) -> Int? {
        guard id != 0, !places.isEmpty else { return nil }
        let place = place(of: id)
        return places[place].id == id ? place : nil
    }

    /// Moves the entries to a table of another size.
    ///
    /// - Returns: false when two of them would have the same slot, which can't happen in a larger table.
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

    /// The size of the smallest table for the given number of entries.
    private static func capacity(for count: Int) -> Int {
        var capacity = count == 0 ? 0 : smallest
        while capacity < count * 2, capacity <= identifiers { capacity *= 2 }
        return capacity
    }

    private static func identifier(after id: PacketID) -> PacketID { id == .max ? 1 : id + 1 }
}
