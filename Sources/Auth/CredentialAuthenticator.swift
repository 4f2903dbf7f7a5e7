package import BrokerCore
import MQTTCodec
import NIOCore

/// What clients may show to be let in.
package struct AcceptedCredentials: Sendable {
    package var passwords: PasswordFile?
    package var apiKeys: APIKeyFile?
    package var tokens: TokenKeys?
    package var tokenRules = TokenRules()

    package init() {}
}

/// Lets those in whom their transport vouches for, or who show an API key, a JSON Web Token or a password; others if
/// anonymous clients are allowed.
///
/// A key or token is the password of CONNECT, as it is of whatever stands for CONNECT elsewhere: the user name is then the
/// one it stands for, and may be left out.
package final class CredentialAuthenticator: Authenticator, @unchecked Sendable {
    // Sendable as a handle; it is used on the core loop only.

    private let passwords: PasswordAuthenticator
    private var apiKeys: APIKeyFile?
    private var tokens: TokenVerifier?
    private let waiting: Int

    /// - Parameters:
    ///   - allowsAnonymous: whether clients without a user name are let in.
    ///   - waiting: tokens, and passwords, that may wait to be checked; more get Server busy.
    package init(_ accepted: AcceptedCredentials, allowsAnonymous: Bool, waiting: Int = 1_024) {
        passwords = PasswordAuthenticator(
            accepted.passwords ?? PasswordFile(),
            allowsAnonymous: allowsAnonymous,
            waiting: waiting
        )
        self.waiting = waiting
        take(accepted)
    }

    /// Goes on with other files; what was found with the old ones is forgotten.
    package func replace(_ accepted: AcceptedCredentials) {
        passwords.replace(accepted.passwords ?? PasswordFile())
        take(accepted)
    }

    private func take(_ accepted: AcceptedCredentials) {
        apiKeys = accepted.apiKeys
        tokens = accepted.tokens.map { TokenVerifier($0, accepted.tokenRules, waiting: waiting) }
    }

    package func authenticate(_ credentials: Credentials) -> Authentication {
        guard credentials.transportIdentity == nil, let password = credentials.password?.readableBytesView else {
            return passwords.authenticate(credentials)
        }
        if let user = apiKeys?.user(of: password) {
            let isRight = credentials.userName.map { $0.isEmpty || ExactText($0) == ExactText(user) } ?? true
            return isRight ? .accepted(userName: user) : .badCredentials
        }
        if let tokens, TokenVerifier.isToken(password) {
            return tokens.verify(
                TokenVerifier.Question(
                    token: Array(password),
                    userName: credentials.userName,
                    clientID: credentials.clientID,
                    network: credentials.network
                )
            )
        }
        return passwords.authenticate(credentials)
    }
}
