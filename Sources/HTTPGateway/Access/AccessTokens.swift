package import BrokerCore
package import CoreRuntime
import HeapModule
import JSONMessages
import NIOConcurrencyHelpers
package import NIOCore

/// Session tokens: what stands for credentials that a client has shown once.
///
/// A page shows one where it can't set a header, or should not know the password. Behind each are the credentials it was
/// given for, and they are asked for anew at each use, so that a user who is gone has no tokens that work.
package final class AccessTokens: Sendable {
    /// What a token stands for.
    package struct Grant: Sendable, Equatable {
        /// nil when the client was let in without any.
        package let credentials: BasicCredentials?
        /// The only Client Identifier it is good for; nil is any.
        package let clientID: String?
        let expiresAt: NIODeadline

        package init(credentials: BasicCredentials?, clientID: String?, expiresAt: NIODeadline) {
            self.credentials = credentials
            self.clientID = clientID
            self.expiresAt = expiresAt
        }

        /// Bytes it takes, with its token.
        fileprivate var cost: Int {
            256 + (credentials.map { $0.userName.utf8.count + $0.password.count } ?? 0) + (clientID?.utf8.count ?? 0)
        }
    }

    fileprivate struct Entry {
        let grant: Grant
        let holder: Holder
    }

    fileprivate struct End: Comparable {
        let at: NIODeadline
        let token: String

        static func < (left: End, right: End) -> Bool { left.at < right.at }
    }

    fileprivate struct State {
        var entries: [String: Entry] = [:]
        /// Those of tokens that were revoked included.
        var ends = Heap<End>()
        var tokens: Quota
        var bytes: Quota
    }

    private let state: NIOLockedValueBox<State>
    private let refusals: Refusals

    /// - Parameters:
    ///   - limit: tokens at a time.
    ///   - bytes: bytes of what they stand for.
    package init(_ limit: Quota.Limit, bytes: Quota.Limit, refusals: Refusals = Refusals()) {
        state = NIOLockedValueBox(State(tokens: Quota(limit), bytes: Quota(bytes)))
        self.refusals = refusals
    }

    /// Makes a token.
    ///
    /// - Parameter holder: whose shares it uses.
    /// - Returns: the token, or why there is none.
    package func issue(_ grant: Grant, to holder: Holder, at now: NIODeadline) -> Result<String, RefusedByQuota> {
        let token = Token.random()
        let refusal = state.withLockedValue { state -> Quota.Refusal? in
            state.expire(now)
            let refusal =
                state.tokens.refusal(for: holder) ?? state.bytes.refusal(of: grant.cost, for: holder)
            guard refusal == nil else { return refusal }
            state.tokens.add(1, for: holder)
            state.bytes.add(grant.cost, for: holder)
            state.entries[token] = Entry(grant: grant, holder: holder)
            state.ends.insert(End(at: grant.expiresAt, token: token))
            return nil
        }
        guard let refusal else { return .success(token) }
        refusals.note(.tokens, "")
        return .failure(RefusedByQuota(refusal: refusal))
    }

    /// What a token stands for; nil when it is none of ours, or not any more.
    package func grant(of token: String, at now: NIODeadline) -> Grant? {
        state.withLockedValue { state in
            guard let grant = state.entries[token]?.grant else { return nil }
            guard grant.expiresAt > now else {
                state.remove(token)
                return nil
            }
            return grant
        }
    }

    /// Makes a token worthless.
    package func revoke(_ token: String) { state.withLockedValue { $0.remove(token) } }

    /// Tokens there are, those included whose time is over and that nobody has asked for since.
    package var count: Int { state.withLockedValue { $0.entries.count } }
}

/// Somebody has a share of something, or all have all of it.
package struct RefusedByQuota: Error, Sendable {
    package let refusal: Quota.Refusal
}

extension AccessTokens.State {
    fileprivate mutating func remove(_ token: String) {
        guard let entry = entries.removeValue(forKey: token) else { return }
        tokens.giveBack(for: entry.holder)
        bytes.giveBack(entry.grant.cost, for: entry.holder)
        // What was revoked is not kept for its time.
        guard ends.count > 2 * entries.count + 64 else { return }
        ends = Heap(entries.map { AccessTokens.End(at: $0.value.grant.expiresAt, token: $0.key) })
    }

    fileprivate mutating func expire(_ now: NIODeadline) {
        while let end = ends.min, end.at <= now {
            ends.removeMin()
            remove(end.token)
        }
    }
}
