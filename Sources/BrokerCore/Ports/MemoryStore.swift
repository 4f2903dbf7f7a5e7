package import MQTTCodec

/// Keeps sessions and retained messages as long as the process lives.
package final class MemoryStore: SessionStore, RetainedStore {
    private struct Entry {
        var session: FormerSessionRecord
        var subscriptions = ByteKeyed<FormerSubscriptionRecord>()
        var outbound: [UInt64: OutboundRecord] = [:]
        var received: Set<PacketID> = []
    }

    private var entries = ByteKeyed<Entry>()
    private var retained: [TopicName: Message] = [:]

    package init() {}

    package func save(_ session: FormerSessionRecord) {
        guard entries[session.clientID] == nil else {
            entries[session.clientID]?.session = session
            return
        }
        entries[session.clientID] = Entry(session: session)
    }

    package func removeSession(_ clientID: String) { entries[clientID] = nil }

    package func save(_ subscription: FormerSubscriptionRecord, of clientID: String) {
        entries[clientID]?.subscriptions[subscription.filter] = subscription
    }

    package func removeSubscription(_ filter: String, of clientID: String) {
        entries[clientID]?.subscriptions[filter] = nil
    }

    package func save(_ outbound: OutboundRecord, of clientID: String) {
        entries[clientID]?.outbound[outbound.outbound.sequence] = outbound
    }

    package func removeOutbound(_ sequence: UInt64, of clientID: String) {
        entries[clientID]?.outbound[sequence] = nil
    }

    package func saveReceived(_ packetID: PacketID, of clientID: String) {
        entries[clientID]?.received.insert(packetID)
    }

    package func removeReceived(_ packetID: PacketID, of clientID: String) {
        entries[clientID]?.received.remove(packetID)
    }

    package func forEachSession(_ body: (StoredSession) -> Void) {
        for entry in entries.values {
            body(
                StoredSession(
                    session: entry.session,
                    subscriptions: Array(entry.subscriptions.values),
                    outbound: entry.outbound.values.sorted { $0.outbound.sequence < $1.outbound.sequence },
                    received: Array(entry.received)
                )
            )
        }
    }

    package func saveRetained(_ message: Message, topic: TopicName) { retained[topic] = message }

    package func removeRetained(_ topic: TopicName) { retained[topic] = nil }

    package func forEachRetained(_ body: (TopicName, Message) -> Void) {
        for (topic, message) in retained { body(topic, message) }
    }
}
