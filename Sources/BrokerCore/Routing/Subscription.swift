import MQTTCodec

/// One subscription of one session, and its position in the index.
final class Subscription {
    /// Its session, which also refers to it: a `Session` releases its subscriptions when it ends.
    let session: Session
    /// The Topic Filter as the client wrote it, `$share/…` included.
    let filter: TopicFilter
    /// The number of its shared subscription, which its messages carry; `.none` unless it is shared.
    let share: ShareNumber
    var options: SubscriptionOptions
    /// The Subscription Identifier; 0 without one.
    var identifier: UInt32
    /// Whether matching retained messages are still to be sent to its session.
    var isOwedRetained = false
    /// Its index in its list, so that removal is not a search.
    var slot = 0
    /// The list that contains it.
    var list: SubscriberList?

    init(session: Session, filter: TopicFilter, options: SubscriptionOptions, identifier: UInt32) {
        self.session = session
        self.filter = filter
        share = session.interest.shares.number(of: filter)
        self.options = options
        self.identifier = identifier
    }

    /// Its Subscription Identifier in the form that a message carries.
    var identifierList: [UInt32] { identifier == 0 ? [] : [identifier] }
}

/// The subscriptions to one Topic Filter, or the members of one shared subscription.
final class SubscriberList {
    private(set) var subscriptions: ContiguousArray<Subscription> = []
    /// The index of the next member of a shared subscription.
    var turn = 0

    var isEmpty: Bool { subscriptions.isEmpty }

    func add(_ subscription: Subscription) {
        subscription.slot = subscriptions.count
        subscription.list = self
        subscriptions.append(subscription)
    }

    /// Removes a subscription; the last one takes its index, so it is constant time at any number of subscribers.
    func remove(_ subscription: Subscription) {
        guard subscription.list === self, let last = subscriptions.popLast() else { return }
        if last !== subscription {
            subscriptions[subscription.slot] = last
            last.slot = subscription.slot
        }
        subscription.list = nil
    }
}

/// The subscriptions to one Topic Filter: plain ones, and shared ones by their ShareName.
final class FilterNode {
    let key: [UInt8]
    let plain = SubscriberList()
    /// The shared subscriptions; nil for most filters, which have none.
    private var shares: ByteExactDictionary<SubscriberList>?

    init(key: [UInt8]) { self.key = key }

    var isEmpty: Bool { plain.isEmpty && shares == nil }

    func add(_ subscription: Subscription) {
        guard let name = subscription.filter.shareName else { return plain.add(subscription) }
        var shares = self.shares.take() ?? ByteExactDictionary()
        if let members = shares[name] {
            members.add(subscription)
        } else {
            let members = SubscriberList()
            members.add(subscription)
            shares[name] = members
        }
        self.shares = shares
    }

    /// The members of the shared subscription with the given ShareName.
    func members(ofShare name: String) -> SubscriberList? { shares?[name] }

    /// Calls `body` with the members of each shared subscription, in no order.
    @inline(__always)
    func forEachShare(_ body: (SubscriberList) -> Void) {
        guard let shares else { return }
        for members in shares.values { body(members) }
    }

    func remove(_ subscription: Subscription) {
        subscription.list?.remove(subscription)
        guard let name = subscription.filter.shareName, shares?[name]?.isEmpty == true else { return }
        _ = shares?.removeValue(forKey: name)
        if shares?.count == 0 { shares = nil }
    }
}
