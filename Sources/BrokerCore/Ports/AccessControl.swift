package import MQTTCodec
package import NIOCore

/// Decides who may connect.
package protocol Authenticator: AnyObject {
    /// Checks credentials; called on the core loop, so it must not block.
    ///
    /// A slow check returns `.pending` and continues elsewhere.
    func authenticate(_ credentials: Credentials) -> Authentication
    /// Whether the user names that it accepts are proven; an anonymous client is a stranger then.
    var knowsUsers: Bool { get }
}

extension Authenticator {
    package var knowsUsers: Bool { true }
}

/// Decides which topics a client may use.
package protocol Authorizer: AnyObject {
    /// Whether the client may publish to the topic; called on the core loop, so it must not block.
    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool
    /// Whether the client may subscribe to the filter.
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool
    /// Whether the client may get messages of the topic, by any of its subscriptions.
    ///
    /// The core caches the answer with the route of a topic, until `Broker.permissionsChanged`.
    func mayReceive(_ topic: String, client: ClientIdentity) -> Bool
    /// The rule that forbids the action, for the log; nil when it is not known.
    func rule(against action: Event.Action, _ topic: String, client: ClientIdentity) -> String?
}

extension Authorizer {
    package func rule(against action: Event.Action, _ topic: String, client: ClientIdentity) -> String? { nil }

    package func mayReceive(_ topic: String, client: ClientIdentity) -> Bool { maySubscribe(topic, client: client) }
}

/// The credentials and the address of a client that connects.
package struct Credentials: Sendable {
    package let clientID: String
    package let userName: String?
    package let password: ByteBuffer?
    /// Whether the password is a bearer token, which identifies its user by itself (RFC 6750).
    package let isToken: Bool
    /// The client's identity according to the transport: the name of a certificate, a DTLS PSK identity.
    package let transportIdentity: String?
    package let remoteAddress: String
    /// The network whose share of the limits the client uses; nil uses no share.
    package let network: ClientNetwork?

    /// Whether there is a secret without a user name: a token or an API key, valid or not.
    ///
    /// An unknown one identifies no user, and a client that sends one is not to be treated as anonymous.
    package var isNameless: Bool { isToken || (userName == nil && password != nil) }

    package init(
        clientID: String,
        userName: String?,
        password: ByteBuffer? = nil,
        isToken: Bool = false,
        transportIdentity: String? = nil,
        remoteAddress: String = "",
        network: ClientNetwork? = nil
    ) {
        self.clientID = clientID
        self.userName = userName
        self.password = password
        self.isToken = isToken
        self.transportIdentity = transportIdentity
        self.remoteAddress = remoteAddress
        self.network = network
    }
}

/// The answer to credentials.
package enum Authentication: Sendable {
    /// Accepted under the given user name; nil is anonymous.
    case accepted(userName: String?)
    /// Accepted under the given user name until its token expires; nil is never.
    case acceptedToken(userName: String, expiresAt: NIODeadline?)
    /// Bad user name or password, 0x86.
    case badCredentials
    /// A known user that is not allowed to connect, 0x87.
    case notAuthorized
    /// Refused for a reason that is logged and not told to the client.
    case refused(ReasonCode, detail: String)
    /// Too many other checks are pending, 0x89.
    case busy
    /// The answer will come later.
    case pending(any FutureAuthentication)
}

/// The identity of a connected client.
package struct ClientIdentity: Sendable {
    package let clientID: String
    package let userName: String?

    package init(clientID: String, userName: String?) {
        self.clientID = clientID
        self.userName = userName
    }
}

/// Accepts every client, under its user name or the transport's.
package final class AnonymousAccess: Authenticator {
    package init() {}

    package var knowsUsers: Bool { false }

    package func authenticate(_ credentials: Credentials) -> Authentication {
        if let identity = credentials.transportIdentity { return .accepted(userName: identity) }
        // It knows no tokens; a user name is accepted without a check of its password.
        return credentials.isNameless ? .badCredentials : .accepted(userName: credentials.userName)
    }
}
