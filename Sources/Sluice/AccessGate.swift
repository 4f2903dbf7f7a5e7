import Auth
import BrokerCore
import MQTTCodec

/// Who may connect and what they may do, as the access files say.
struct AccessGate: Sendable {
    private let credentialAuthenticator: CredentialAuthenticator?
    private let scramAuthenticator: ScramAuthenticator?
    private let listAuthorizer: ListAuthorizer?
    private let tokenRules: TokenRules

    init(_ files: AccessFiles, _ configuration: AccessConfiguration) {
        tokenRules = configuration.tokens?.rules ?? TokenRules()
        let isOpen = !configuration.hasCredentials && configuration.allowsAnonymous
        credentialAuthenticator =
            isOpen
            ? nil
            : CredentialAuthenticator(
                files.accepted(tokenRules),
                allowsAnonymous: configuration.allowsAnonymous
            )
        scramAuthenticator = files.passwords.map { ScramAuthenticator($0) }
        listAuthorizer = files.accessControl.map { ListAuthorizer($0, file: configuration.aclFile ?? "acl") }
    }

    var authenticator: any Authenticator { credentialAuthenticator ?? AnonymousAccess() }
    /// nil without a password file.
    var enhancedAuthenticator: (any EnhancedAuthenticator)? { scramAuthenticator }
    /// nil without an access control file.
    var authorizer: (any Authorizer)? { listAuthorizer }

    /// Goes on with what the files say now; on the core loop.
    ///
    /// Clients that came in with a password, API key or token that is not good any more have to come in again.
    func replace(_ former: AccessFiles, by files: AccessFiles, _ broker: Broker) {
        if let list = files.accessControl { listAuthorizer?.replace(list) }
        broker.permissionsChanged()
        credentialAuthenticator?.replace(files.accepted(tokenRules))
        if let passwords = files.passwords { scramAuthenticator?.replace(passwords) }
        broker.credentialsChanged()
        let losers = former.apiKeys?.usersLosingKeys(to: files.apiKeys) ?? []
        let areTokensGood = former.tokenKeys.map { files.tokenKeys?.contain($0) ?? false } ?? true
        broker.endConnections(reason: .notAuthorized) { connection, userName in
            guard connection.transportIdentity == nil, let userName else { return false }
            if connection.hasToken { return !areTokensGood }
            return losers.contains(ExactText(userName)) || files.passwords?[userName] != former.passwords?[userName]
        }
    }
}

extension AccessFiles {
    fileprivate func accepted(_ rules: TokenRules) -> AcceptedCredentials {
        var accepted = AcceptedCredentials()
        accepted.passwords = passwords
        accepted.apiKeys = apiKeys
        accepted.tokens = tokenKeys
        accepted.tokenRules = rules
        return accepted
    }
}
