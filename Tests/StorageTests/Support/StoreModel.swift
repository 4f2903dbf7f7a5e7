import BrokerCore
import MQTTCodec

/// What a store must give back, kept in the simplest way.
struct StoreModel {
    private(set) var sessions: [SessionName: SessionRecord] = [:]
    private(set) var subscriptions: [UInt64: [String: SubscriptionRecord]] = [:]
    private(set) var received: [UInt64: Set<PacketID>] = [:]
    private(set) var retained: [String: Message] = [:]
    private(set) var messages: [UInt64: (message: Message, destinations: [StoredDestination])] = [:]

    mutating func take(_ batch: StoreBatch) {
        for stored in batch.messages where stored.remaining > 0 {
            let end = stored.firstDestination + stored.destinationCount
            messages[stored.number.rawValue] = (
                stored.message, Array(batch.destinations[stored.firstDestination..<end])
            )
        }
        for change in batch.changes { take(change) }
    }

    private mutating func take(_ change: StoreChange) {
        switch change {
        case .session(let session): sessions[session.name] = session
        case .removeSession(let name, let number):
            sessions[name] = nil
            subscriptions[number.rawValue] = nil
            received[number.rawValue] = nil
        case .moveSession(let former, _): sessions[former] = nil
        case .subscription(let subscription, let session):
            subscriptions[session.rawValue, default: [:]][subscription.filter] = subscription
        case .removeSubscription(let filter, let session): subscriptions[session.rawValue]?[filter] = nil
        case .received(let packetID, let session): received[session.rawValue, default: []].insert(packetID)
        case .removeReceived(let packetID, let session): received[session.rawValue]?.remove(packetID)
        case .delivery(let place, let state):
            messages[place.message.rawValue]?.destinations[Int(place.destination)].state = state
        case .removeMessage(let number, _): messages[number.rawValue] = nil
        case .retained(let message): retained[message.topic.string] = message
        case .removeRetained(let topic): retained[topic.string] = nil
        }
    }

    /// A start: what belongs to no session goes, unless other members of a shared subscription are to have it.
    mutating func restart() {
        let known = Set(sessions.values.map(\.number.rawValue))
        subscriptions = subscriptions.filter { known.contains($0.key) }
        received = received.filter { known.contains($0.key) }
        for (number, message) in messages {
            messages[number]?.destinations = message.destinations.map { destination in
                var destination = destination
                if !known.contains(destination.session.rawValue), !destination.isForOthers { destination.state = .done }
                return destination
            }
        }
        messages = messages.filter { $0.value.destinations.contains { $0.state != .done } }
    }

    /// What recovery must say, sorted.
    var recovered: [String] {
        var found = sessions.values.map(words)
        for (session, list) in subscriptions {
            for subscription in list.values {
                found.append(words(.subscription(subscription, of: SessionNumber(rawValue: session))))
            }
        }
        for (session, list) in received {
            for packetID in list { found.append(words(.received(packetID, of: SessionNumber(rawValue: session)))) }
        }
        found += retained.values.map { words(.retained($0)) }
        for (number, stored) in messages {
            let recovered = RecoveredMessage(
                number: MessageNumber(number),
                cost: stored.message.cost,
                expiresAt: stored.message.expiresAt,
                destinations: stored.destinations
            )
            found.append(words(recovered))
        }
        return found.sorted()
    }
}
