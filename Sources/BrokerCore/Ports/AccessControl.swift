package import MQTTCodec
package import NIOCore

/// Decides who may connect.
package protocol Authenticator: AnyObject {
    /// Whether these credentials are good. Called on the core loop: it must not block.
    ///
    /// What takes its time answers `.pending` and goes on elsewhere.
    func authenticate(_ credentials: Credentials) -> Authentication
    /// Whether a user name it lets in is proven; an anonymous client is a stranger then.
    var knowsUsers: Bool { get }
}

extension Authenticator {
    package var knowsUsers: Bool { true }
}

/// Decides which topics a client may use.
package protocol Authorizer: AnyObject {
    /// Whether the client may publish to the topic. Called on the core loop: it must not block.
    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool
    /// Whether the client may subscribe to the filter.
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool
    /// Whether the client may get messages of the topic, whichever of its subscriptions matches.
    ///
    /// The core remembers the answer with the route of a topic, until `Broker.permissionsChanged`.
    func mayReceive(_ topic: String, client: ClientIdentity) -> Bool
    /// What forbids that, for the log; nil when nobody can say.
    func rule(against action: Event.Action, _ topic: String, client: ClientIdentity) -> String?
}

extension Authorizer {
    package func rule(against action: Event.Action, _ topic: String, client: ClientIdentity) -> String? { nil }

    package func mayReceive(_ topic: String, client: ClientIdentity) -> Bool { maySubscribe(topic, client: client) }
}

/// What a client shows of itself when it connects.
package struct Credentials: Sendable {
    package let clientID: String
    package let userName: String?
    package let password: ByteBuffer?
    /// Whether the password was shown as a token, which says by itself whose it is (RFC 6750).
    package let isToken: Bool
    /// Who the transport says it is: a certificate's name, a DTLS PSK identity.
    package let transportIdentity: String?
    package let remoteAddress: String
    /// Whose share of what is for all it uses; nil is nobody's.
    package let network: ClientNetwork?

    /// Whether something secret was shown without a user name: a token or an API key, or what was meant for one.
    ///
    /// Nobody can be found by it who is not known, and whoever shows it does not want to be anonymous.
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
    /// Accepted under that user name; nil is anonymous.
    case accepted(userName: String?)
    /// Accepted under that user name as long as its token is good; nil is for ever.
    case acceptedToken(userName: String, expiresAt: NIODeadline?)
    /// Bad user name or password, 0x86.
    case badCredentials
    /// Known, and not allowed, 0x87.
    case notAuthorized
    /// Not let in for a reason that the log is told, and the client is not.
    case refused(ReasonCode, detail: String)
    /// Too many others are waiting for an answer, 0x89.
    case busy
    /// The answer comes later.
    case pending(PendingAuthentication)
}

/// Who a connected client is.
package struct ClientIdentity: Sendable {
    package let clientID: String
    package let userName: String?

    package init(clientID: String, userName: String?) {
        self.clientID = clientID
        self.userName = userName
    }
}

/// Lets everybody in, under the name they give or the transport gives them.
package final class AnonymousAccess: Authenticator {
    package init() {}

    package var knowsUsers: Bool { false }

    package func authenticate(_ credentials: Credentials) -> Authentication {
        if let identity = credentials.transportIdentity { return .accepted(userName: identity) }
        // Nobody here knows any token; a user name is taken as it is, and its password for nothing.
        return credentials.isNameless ? .badCredentials : .accepted(userName: credentials.userName)
    }
}
