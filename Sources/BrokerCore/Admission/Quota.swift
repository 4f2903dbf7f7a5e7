/// Something that is for all, of which one address and one user have a share each: connections, sessions, bytes.
///
/// It says whether somebody may have more, and counts what everybody has. Whoever has nothing any more is forgotten.
package struct Quota: Sendable {
    /// How much there is.
    package struct Limit: Equatable, Sendable {
        /// All together.
        package let total: Int
        /// Of one address (IPv4) or network (an IPv6 /64).
        package let addressShare: Int
        /// Of one user.
        package let userShare: Int
        /// The last tenth, which is kept from strangers, and, where no users are known, from whoever has a tenth
        /// already.
        package let reserve: Int
        /// Nobody is refused as long as all together have no more than that.
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

    /// Why somebody may not have more.
    package enum Refusal: Sendable, Equatable {
        /// There is no more of it.
        case exhausted
        /// What is left is kept for those who are known, or have little.
        case reserved
        /// The address's share is used up.
        case address
        /// The user's share is used up.
        case user

        /// Whether others may still have some.
        package var isOwnShare: Bool { self == .address || self == .user }
    }

    package let limit: Limit
    /// What all have together.
    package private(set) var used = 0
    private var shares: [Holder.Key: Int] = [:]

    package init(_ limit: Limit) { self.limit = limit }

    /// Why the holder may not have so much more; nil when it may.
    ///
    /// - Parameter former: who gives as much back at the same time; nil when nobody does.
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

    /// The holder has so much more, whether it may or not; less when negative.
    package mutating func add(_ amount: Int, for holder: Holder) {
        guard amount != 0 else { return }
        addToTotal(amount)
        addToShares(amount, of: holder)
    }

    /// For what changes so often that shares are counted from time to time only.
    @inline(__always)
    mutating func addToTotal(_ amount: Int) { used &+= amount }

    mutating func addToShares(_ amount: Int, of holder: Holder) {
        guard amount != 0 else { return }
        if let key = holder.networkKey { Self.add(amount, to: &shares[key]) }
        if let key = holder.userKey { Self.add(amount, to: &shares[key]) }
        // The memory of many holders that are gone is given back.
        if shares.isEmpty, shares.capacity > 64 { shares = [:] }
    }

    /// Takes so much for the holder, if it may have it.
    ///
    /// - Returns: why not; nil when it was taken.
    package mutating func take(_ amount: Int = 1, for holder: Holder) -> Refusal? {
        if let refusal = refusal(of: amount, for: holder) { return refusal }
        add(amount, for: holder)
        return nil
    }

    /// The holder gives so much back.
    package mutating func giveBack(_ amount: Int = 1, for holder: Holder) { add(-amount, for: holder) }

    /// What one address has.
    package func used(by network: ClientNetwork) -> Int { shares[.network(network)] ?? 0 }

    /// Addresses and users that have something.
    package var holders: Int { shares.count }

    private static func add(_ amount: Int, to share: inout Int?) {
        let now = (share ?? 0) + amount
        share = now == 0 ? nil : now
    }
}
