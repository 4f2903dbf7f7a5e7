/// The owner of a resource, whose shares of a limit it uses.
package struct Holder: Hashable, Sendable {
    /// The network whose share is used; nil uses no network's share, for example for a trusted proxy's own connection.
    package let network: ClientNetwork?
    /// The user name's bytes; nil uses no user's share: an anonymous client, or a name that was not checked.
    private let user: [UInt8]?
    /// Whether it is no known user, in a broker that has users.
    package let isStranger: Bool

    /// - Parameters:
    ///   - userName: a proven user name.
    ///   - knowsUsers: whether this broker has users.
    package init(network: ClientNetwork?, userName: String? = nil, knowsUsers: Bool = false) {
        self.network = network
        user = userName.map { Array($0.utf8) }
        isStranger = knowsUsers && userName == nil
    }

    /// No owner: resources of the broker itself, or those from before its start.
    package static let nobody = Holder(network: nil)

    /// The keys of its shares: its address, and its user.
    var networkKey: Key? { network.map(Key.network) }
    var userKey: Key? { user.map(Key.user) }

    /// Whether it has no share.
    package var isNobody: Bool { network == nil && user == nil }

    /// Whether it has the same user, or no user either, at any address.
    func isSameUser(as other: Holder) -> Bool { user == other.user }

    /// Whether it has a proven user.
    package var isUser: Bool { user != nil }

    /// The key of a share.
    enum Key: Hashable, Sendable {
        case network(ClientNetwork)
        case user([UInt8])
    }
}
