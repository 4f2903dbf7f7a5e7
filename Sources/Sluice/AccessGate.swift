import Auth
import BrokerCore
import MQTTCodec

/// Who may connect and what they may do, as the access files say.
struct AccessGate: Sendable {
    private let passwordAuthenticator: PasswordAuthenticator?
    private let scramAuthenticator: ScramAuthenticator?
    private let listAuthorizer: ListAuthorizer?

    init(_ files: AccessFiles, allowsAnonymous: Bool) {
        passwordAuthenticator = files.passwords.map { PasswordAuthenticator($0, allowsAnonymous: allowsAnonymous) }
        scramAuthenticator = files.passwords.map { ScramAuthenticator($0) }
        listAuthorizer = files.accessControl.map(ListAuthorizer.init)
    }

    var authenticator: any Authenticator { passwordAuthenticator ?? AnonymousAccess() }
    /// nil without a password file.
    var enhancedAuthenticator: (any EnhancedAuthenticator)? { scramAuthenticator }
    /// nil without an access control file.
    var authorizer: (any Authorizer)? { listAuthorizer }

    /// Goes on with what the files say now; on the core loop.
    ///
    /// Clients whose password is no longer the one they came in with have to come in again.
    func replace(_ former: AccessFiles, by files: AccessFiles, _ broker: Broker) {
        if let list = files.accessControl { listAuthorizer?.replace(list) }
        broker.permissionsChanged()
        guard let passwords = files.passwords else { return }
        passwordAuthenticator?.replace(passwords)
        scramAuthenticator?.replace(passwords)
        broker.endConnections(reason: .notAuthorized) { connection, userName in
            guard connection.transportIdentity == nil, let userName else { return false }
            return passwords[userName] != former.passwords?[userName]
        }
    }
}
