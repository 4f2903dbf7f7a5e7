package import BrokerCore
import NIOCore

/// Lets those in who have a password that matches the password file, and others if anonymous clients are allowed.
///
/// A client that its transport has authenticated needs no password.
package final class PasswordAuthenticator: Authenticator, @unchecked Sendable {
    // Sendable as a handle; it is used on the core loop only.

    private var passwords: PasswordFile
    private let allowsAnonymous: Bool
    private let verifier: PasswordVerifier
    /// Of the file that is in use.
    private var generation: UInt64 = 0

    /// - Parameters:
    ///   - allowsAnonymous: whether clients without a user name are let in.
    ///   - waiting: passwords that may wait to be checked; more get Server busy.
    package init(_ passwords: PasswordFile, allowsAnonymous: Bool, waiting: Int = 1_024) {
        self.passwords = passwords
        self.allowsAnonymous = allowsAnonymous
        verifier = PasswordVerifier(waiting: waiting)
    }

    /// Goes on with another file; what was found with the old one is forgotten.
    package func replace(_ passwords: PasswordFile) {
        self.passwords = passwords
        generation += 1
    }

    package func authenticate(_ credentials: Credentials) -> Authentication {
        if let identity = credentials.transportIdentity { return .accepted(userName: identity) }
        guard !credentials.isNameless else { return .badCredentials }
        guard let userName = credentials.userName else {
            return allowsAnonymous ? .accepted(userName: nil) : .notAuthorized
        }
        guard let password = credentials.password else { return .badCredentials }
        let known = passwords[userName]
        guard let hash = known ?? passwords.decoy else { return .badCredentials }
        return verifier.verify(
            PasswordVerifier.Question(
                userName: userName,
                password: [UInt8](password.readableBytesView),
                hash: hash,
                isKnown: known != nil,
                generation: generation,
                network: credentials.network
            )
        )
    }
}
