import MQTTCodec

/// The changes of the open batch besides new messages, and their bytes; of several changes to one thing only the last
/// is kept.
struct OpenChanges {
    /// The thing that a change concerns.
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

    /// Adds a change; it replaces an earlier one to the same thing.
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

    /// - Returns: nil for a change that happens only once to a thing.
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

    /// Bytes in memory of a change, including its entries in the list and the table.
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
