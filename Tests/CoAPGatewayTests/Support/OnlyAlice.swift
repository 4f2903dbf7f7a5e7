import BrokerCore
import NIOCore

/// Lets nobody in but alice with her password.
final class OnlyAlice: Authenticator {
    func authenticate(_ credentials: Credentials) -> Authentication {
        guard let userName = credentials.userName else { return .notAuthorized }
        guard credentials.password.map(String.init(buffer:)) == "rabbit" else { return .badCredentials }
        return userName == "alice" ? .accepted(userName: userName) : .notAuthorized
    }
}
