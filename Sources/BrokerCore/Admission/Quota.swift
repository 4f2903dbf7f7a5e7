/// Something that is for all, of which one address and one user have a share each: connections, sessions, bytes.
///
/// It says whether somebody may have more, and counts what everybody has. Whoever has nothing any more is forgotten.
package struct Quota: Sendable {
    /// How much there is.
    package struct Limit: Equatable, Sendable {
        /// All together.
        package var total: Int
        /// Of one address (IPv4) or network (an IPv6 /64); 0 is half of all.
        package var perAddress = 0
        /// Of one user; 0 is half of all.
        package var perUser = 0

        package init(total: Int, perAddress: Int = 0, perUser: Int = 0) {
            self.total = total
            self.perAddress = perAddress
            self.perUser = perUser
        }

        /// What one address has in the end.
        package var addressShare: Int { perAddress > 0 ? min(perAddress, total) : total - total / 2 }
        /// What one user has in the end.
        package var userShare: Int { perUser > 0 ? min(perUser, total) : total - total / 2 }
        /// The last tenth, which is kept from strangers, and, where no users are known, from whoever has a tenth
        /// already.
        package var reserve: Int { total / 10 }
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
    package func refusal(of amount: Int = 1, for holder: Holder) -> Refusal? {
        guard used + amount <= limit.total else { return .exhausted }
        var ofAddress = 0
        for key in holder.keys {
            let own = shares[key] ?? 0
            switch key {
            case .network:
                ofAddress = own
                guard own + amount <= limit.addressShare else { return .address }
            case .user: guard own + amount <= limit.userShare else { return .user }
            }
        }
        guard used + amount > limit.total - limit.reserve, !holder.isUser else { return nil }
        return holder.isStranger || ofAddress + amount > limit.reserve ? .reserved : nil
    }

    /// The holder has so much more, whether it may or not; less when negative.
    package mutating func add(_ amount: Int, for holder: Holder) {
        guard amount != 0 else { return }
        used += amount
        for key in holder.keys { add(amount, key) }
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

    private mutating func add(_ amount: Int, _ key: Holder.Key) {
        let now = (shares[key] ?? 0) + amount
        shares[key] = now == 0 ? nil : now
        // What a crowd has left behind is given back.
        if shares.isEmpty { shares = [:] }
    }
}
