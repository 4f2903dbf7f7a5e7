/// A limited resource of which each address and each user has a share: connections, sessions, bytes.
///
/// It decides whether a holder may have more, and counts each holder's use. A holder that uses nothing is forgotten.
package struct Quota: Sendable {
    /// The total and the shares.
    package struct Limit: Equatable, Sendable {
        /// The total of all holders.
        package let total: Int
        /// The share of one address (IPv4) or network (an IPv6 /64).
        package let addressShare: Int
        /// The share of one user.
        package let userShare: Int
        /// The last tenth, which is reserved.
        ///
        /// Strangers don't get it, nor, in a broker without users, an address that has a tenth already.
        package let reserve: Int
        /// The total up to which no holder is refused.
        fileprivate let plenty: Int

        package init(total: Int, perAddress: Int = 0, perUser: Int = 0) {
            self.init(total: total, Shares(perAddress: perAddress, perUser: perUser))
        }

        package init(total: Int, _ shares: Shares) {
            self.total = total
            addressShare = shares.perAddress > 0 ? min(shares.perAddress, total) : total - total / 2
            userShare = shares.perUser > 0 ? min(shares.perUser, total) : total - total / 2
            reserve = total / 10
            plenty = min(addressShare, userShare, total - reserve)
        }
    }

    /// The reason for a refusal.
    package enum Refusal: Sendable, Equatable {
        /// The total is used up.
        case exhausted
        /// The rest is reserved for known users, or for addresses that have little.
        case reserved
        /// The address's share is used up.
        case address
        /// The user's share is used up.
        case user

        /// Whether other holders may still have more.
        package var isOwnShare: Bool { self == .address || self == .user }
    }

    package let limit: Limit
    /// The present total.
    package private(set) var used = 0
    private var shares: [Holder.Key: Int] = [:]

    package init(_ limit: Limit) { self.limit = limit }

    /// The reason why the holder may not have the given amount more; nil when it may.
    ///
    /// - Parameter former: a holder that releases the same amount at the same time; nil for none.
    package func refusal(of amount: Int = 1, for holder: Holder, replacing former: Holder? = nil) -> Refusal? {
        let rest = former == nil ? used : used - amount
        guard rest + amount > limit.plenty else { return nil }
        guard rest + amount <= limit.total else { return .exhausted }
        var ofAddress = 0
        if let key = holder.networkKey {
            ofAddress = (shares[key] ?? 0) + (former?.networkKey == key ? 0 : amount)
            guard ofAddress <= limit.addressShare else { return .address }
        }
        if let key = holder.userKey {
            let ofUser = (shares[key] ?? 0) + (former?.userKey == key ? 0 : amount)
            guard ofUser <= limit.userShare else { return .user }
        }
        guard rest + amount > limit.total - limit.reserve, !holder.isUser else { return nil }
        return holder.isStranger || ofAddress > limit.reserve ? .reserved : nil
    }

    /// Adds the given amount to the holder's use, without a check; a negative amount is subtracted.
    package mutating func add(_ amount: Int, for holder: Holder) {
        guard amount != 0 else { return }
        addToTotal(amount)
        addToShares(amount, of: holder)
    }

    /// Adds to the total alone, for amounts that change so often that shares are counted at intervals.
    @inline(__always)
    mutating func addToTotal(_ amount: Int) { used &+= amount }

    mutating func addToShares(_ amount: Int, of holder: Holder) {
        guard amount != 0 else { return }
        if let key = holder.networkKey { Self.add(amount, to: &shares[key]) }
        if let key = holder.userKey { Self.add(amount, to: &shares[key]) }
        // Releases the capacity of former holders.
        if shares.isEmpty, shares.capacity > 64 { shares = [:] }
    }

    /// Takes the given amount for the holder, if it may have it.
    ///
    /// - Returns: the reason for a refusal; nil when it was taken.
    package mutating func take(_ amount: Int = 1, for holder: Holder) -> Refusal? {
        if let refusal = refusal(of: amount, for: holder) { return refusal }
        add(amount, for: holder)
        return nil
    }

    /// Releases the given amount of the holder.
    package mutating func giveBack(_ amount: Int = 1, for holder: Holder) { add(-amount, for: holder) }

    /// The use of one address.
    package func used(by network: ClientNetwork) -> Int { shares[.network(network)] ?? 0 }

    /// Addresses and users that use the resource.
    package var holders: Int { shares.count }

    private static func add(_ amount: Int, to share: inout Int?) {
        let now = (share ?? 0) + amount
        share = now == 0 ? nil : now
    }
}
