import JSONMessages
package import NIOCore
import Synchronization

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
    }

    private let grants: Mutex<[String: Grant]> = Mutex([:])
    private let maximum: Int

    /// - Parameter maximum: tokens at a time.
    package init(maximum: Int) { self.maximum = maximum }

    /// Makes a token.
    ///
    /// - Returns: nil when there are too many.
    package func issue(_ grant: Grant, at now: NIODeadline) -> String? {
        let token = Token.random()
        return grants.withLock { grants in
            if grants.count >= maximum { grants = grants.filter { $0.value.expiresAt > now } }
            guard grants.count < maximum else { return nil }
            grants[token] = grant
            return token
        }
    }

    /// What a token stands for; nil when it is none of ours, or not any more.
    package func grant(of token: String, at now: NIODeadline) -> Grant? {
        grants.withLock { grants in
            guard let grant = grants[token] else { return nil }
            guard grant.expiresAt > now else {
                grants[token] = nil
                return nil
            }
            return grant
        }
    }

    /// Makes a token worthless.
    package func revoke(_ token: String) { grants.withLock { _ = $0.removeValue(forKey: token) } }
}
