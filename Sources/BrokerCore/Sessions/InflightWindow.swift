import DequeModule
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
    /// Its place in the session's order of delivery; the key it is stored under.
    package let sequence: UInt64
}

/// The QoS 1 and 2 messages sent to one client and not yet acknowledged, in the order sent (MQTT 5.0 §4.4, §4.9).
///
/// Packet Identifiers are handed out one after the other, so an entry's place follows from its identifier and no look-up
/// table is needed; an acknowledged entry leaves a gap that closes when those before it are acknowledged.
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
        package fileprivate(set) var state: State
        /// Whether its PUBLISH was sent on the present connection, whose send quota it uses then.
        fileprivate var usesQuota: Bool
    }

    private static let identifiers = 65_535
    private var entries: Deque<Entry?> = []
    private var firstID: PacketID = 1
    /// Unacknowledged entries.
    package private(set) var count = 0
    /// Those whose PUBLISH was sent on the present connection.
    private var quotaUsed = 0
    /// The place of the first entry whose PUBLISH is to be sent again; the number of entries when there is none.
    private var firstUnsent = 0

    package init() {}

    /// Whether another message may be sent: the client's Receive Maximum is not used up, and an identifier is free.
    package func hasRoom(receiveMaximum: Int) -> Bool {
        count < receiveMaximum && entries.count < Self.identifiers && !hasUnsent
    }

    /// Whether messages of a former connection wait to be sent again; new ones come after them [MQTT-4.6.0-1].
    package var hasUnsent: Bool { firstUnsent < entries.count }

    /// A new connection: its send quota is unused, and every PUBLISH is to be sent again (MQTT 5.0 §4.9).
    package mutating func beginConnection() {
        for place in entries.indices { entries[place]?.usesQuota = false }
        quotaUsed = 0
        firstUnsent = 0
        skipToUnsent()
    }

    /// Takes the next message to be sent again, while the send quota lasts [MQTT-3.3.4-9].
    package mutating func takeUnsent(receiveMaximum: Int) -> (id: PacketID, outbound: OutboundMessage)? {
        guard hasUnsent, quotaUsed < receiveMaximum, let entry = entries[firstUnsent] else { return nil }
        let id = identifier(at: firstUnsent)
        entries[firstUnsent]?.usesQuota = true
        quotaUsed += 1
        firstUnsent += 1
        skipToUnsent()
        return (id, entry.outbound)
    }

    private mutating func skipToUnsent() {
        while firstUnsent < entries.count {
            if let entry = entries[firstUnsent], entry.state == .published { return }
            firstUnsent += 1
        }
    }

    /// Takes a message in and gives it a Packet Identifier [MQTT-2.2.1-3].
    ///
    /// Only after `hasRoom`.
    package mutating func admit(_ outbound: OutboundMessage) -> PacketID {
        let id = identifier(at: entries.count)
        entries.append(Entry(outbound: outbound, state: .published, usesQuota: true))
        count += 1
        quotaUsed += 1
        firstUnsent = entries.count
        return id
    }

    /// The entry with that Packet Identifier.
    package subscript(id id: PacketID) -> Entry? {
        guard let place = place(of: id) else { return nil }
        return entries[place]
    }

    /// PUBREC came: only PUBCOMP is waited for from now on [MQTT-4.3.3-4].
    package mutating func release(_ id: PacketID) {
        guard let place = place(of: id) else { return }
        entries[place]?.state = .released
        if place == firstUnsent { skipToUnsent() }
    }

    /// PUBACK, PUBCOMP or a PUBREC with an error came: the identifier is free again.
    package mutating func complete(_ id: PacketID) -> Entry? {
        guard let place = place(of: id), let entry = entries[place] else { return nil }
        entries[place] = nil
        count -= 1
        if entry.usesQuota { quotaUsed -= 1 }
        if place == firstUnsent { skipToUnsent() }
        while let first = entries.first, first == nil {
            entries.removeFirst()
            firstUnsent -= 1
            firstID = firstID == .max ? 1 : firstID + 1
        }
        return entry
    }

    /// All entries in the order they were sent [MQTT-4.6.0-1].
    package func forEach(_ body: (PacketID, Entry) -> Void) {
        for place in entries.indices {
            if let entry = entries[place] { body(identifier(at: place), entry) }
        }
    }

    /// Puts a stored entry back under the identifier it had; entries come in ascending order of sequence.
    package mutating func restore(_ outbound: OutboundMessage, id: PacketID, state: State) {
        guard id != 0 else { return }
        if entries.isEmpty { firstID = id }
        while identifier(at: entries.count) != id, entries.count < Self.identifiers { entries.append(nil) }
        guard entries.count < Self.identifiers else { return }
        entries.append(Entry(outbound: outbound, state: state, usesQuota: false))
        count += 1
    }

    private func identifier(at place: Int) -> PacketID {
        PacketID((Int(firstID) - 1 + place) % Self.identifiers + 1)
    }

    private func place(of id: PacketID) -> Int? {
        guard id != 0 else { return nil }
        let place = (Int(id) - Int(firstID) + Self.identifiers) % Self.identifiers
        return place < entries.count ? place : nil
    }
}
