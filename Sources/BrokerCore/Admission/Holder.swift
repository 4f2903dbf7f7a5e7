/// Who something is kept for: whose shares of a limit it uses.
package struct Holder: Hashable, Sendable {
    /// nil uses no address's share, as a trusted proxy's own connection.
    package let network: ClientNetwork?
    /// Byte for byte; nil uses no user's share: anonymous, or a name that nobody has checked.
    private let user: [UInt8]?
    /// Whether it is nobody that this broker knows, where it knows some.
    package let isStranger: Bool

    /// - Parameters:
    ///   - userName: one that was proven.
    ///   - knowsUsers: whether this broker knows users at all.
    package init(network: ClientNetwork?, userName: String? = nil, knowsUsers: Bool = false) {
        self.network = network
        user = userName.map { Array($0.utf8) }
        isStranger = knowsUsers && userName == nil
    }

    /// Nobody in particular: what the broker itself keeps, or what was kept before its start.
    package static let nobody = Holder(network: nil)

    /// The address whose share is used, and the user.
    var networkKey: Key? { network.map(Key.network) }
    var userKey: Key? { user.map(Key.user) }

    /// Whether it has no share of anything.
    package var isNobody: Bool { network == nil && user == nil }

    /// Whether it is for the same user, or for no user either, wherever that is.
    func isSameUser(as other: Holder) -> Bool { user == other.user }

    /// Whether it counts for a user of its own.
    package var isUser: Bool { user != nil }

    /// One who has a share.
    enum Key: Hashable, Sendable {
        case network(ClientNetwork)
        case user([UInt8])
    }
}
