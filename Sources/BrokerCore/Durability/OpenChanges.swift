import MQTTCodec

/// The changes of the open batch that are no new messages, and their bytes: of those to the same thing the last one alone.
struct OpenChanges {
    /// What a change is to.
    private enum Key: Hashable {
        case retained(TopicName)
        case session(SessionNumber)
        case subscription(SessionNumber, [UInt8])
        case received(SessionNumber, PacketID)
    }

    private(set) var list: ContiguousArray<StoreChange> = []
    private var places: [Key: Int] = [:]
    /// Bytes in memory.
    private(set) var bytes = 0

    var count: Int { list.count }
    var isEmpty: Bool { list.isEmpty }

    /// Adds a change, in the place of an earlier one to the same thing.
    mutating func append(_ change: StoreChange) {
        bytes += Self.cost(of: change)
        guard let key = Self.key(of: change) else { return list.append(change) }
        if let place = places[key] {
            bytes -= Self.cost(of: list[place])
            list[place] = change
        } else {
            places[key] = list.count
            list.append(change)
        }
    }

    /// - Returns: nil for what happens to a thing but once.
    private static func key(of change: StoreChange) -> Key? {
        switch change {
        case .retained(let message): .retained(message.topic)
        case .removeRetained(let topic): .retained(topic)
        case .session(let session): .session(session.number)
        case .subscription(let subscription, let session): .subscription(session, Array(subscription.filter.utf8))
        case .removeSubscription(let filter, let session): .subscription(session, Array(filter.utf8))
        case .received(let packetID, let session), .removeReceived(let packetID, let session):
            .received(session, packetID)
        case .removeSession, .moveSession, .delivery, .removeMessage: nil
        }
    }

    /// Bytes in memory of a change, its places in list and table included.
    private static func cost(of change: StoreChange) -> Int {
        let places = 256
        switch change {
        case .retained(let message): return places + message.cost + message.topic.string.utf8.count
        case .removeRetained(let topic): return places + 2 * MemoryCost.text(topic.string)
        case .session(let session):
            return places
                + Session.cost(clientID: session.clientID, userName: session.userName, will: session.will)
        case .removeSession(let name, _), .moveSession(from: let name, _):
            return places + MemoryCost.text(name.string)
        case .subscription(let subscription, _): return places + 2 * MemoryCost.text(subscription.filter)
        case .removeSubscription(let filter, _): return places + 2 * MemoryCost.text(filter)
        case .received, .removeReceived: return places
        case .delivery, .removeMessage: return places / 2
        }
    }
}
