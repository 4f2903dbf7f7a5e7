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
    }

    private static let identifiers = 65_535
    private var entries: Deque<Entry?> = []
    private var firstID: PacketID = 1
    /// Unacknowledged entries.
    package private(set) var count = 0

    package init() {}

    /// Whether another message may be sent: the client's Receive Maximum is not used up, and an identifier is free.
    package func hasRoom(receiveMaximum: Int) -> Bool {
        count < receiveMaximum && entries.count < Self.identifiers
    }

    /// Takes a message in and gives it a Packet Identifier [MQTT-2.2.1-3]. Only after `hasRoom`.
    package mutating func admit(_ outbound: OutboundMessage) -> PacketID {
        let id = identifier(at: entries.count)
        entries.append(Entry(outbound: outbound, state: .published))
        count += 1
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
    }

    /// PUBACK, PUBCOMP or a PUBREC with an error came: the identifier is free again.
    package mutating func complete(_ id: PacketID) -> Entry? {
        guard let place = place(of: id), let entry = entries[place] else { return nil }
        entries[place] = nil
        count -= 1
        while let first = entries.first, first == nil {
            entries.removeFirst()
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
        entries.append(Entry(outbound: outbound, state: state))
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
