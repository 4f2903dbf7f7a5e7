import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTypes
import MQTTCodec
import NIOCore

/// Whose something is that outlasts a request: nobody else gets at it.
///
/// It is the user the broker has let in, and not what it was let in for: a token is another one each time it is renewed.
package struct RequestOwner: Hashable, Sendable {
    /// What a user was let in for.
    package enum Proof: Sendable {
        case nothing
        case password
        case token
        case certificate
    }

    private let userName: ExactText?
    private let proof: Proof

    /// - Parameter userName: as the broker has it; nil for an anonymous client.
    package init(userName: String?, by proof: Proof) {
        self.userName = userName.map { ExactText($0) }
        self.proof = proof
    }

    /// Bytes it takes.
    var cost: Int { userName?.string.utf8.count ?? 0 }
}

/// Who makes a request.
struct Identity: Sendable {
    /// Empty: the broker makes one up.
    let clientID: String
    let credentials: RequestCredentials?
    let address: ClientAddress
    /// The user name its certificate gives it, which counts for more than credentials.
    let transportIdentity: String?

    /// Whose that is which it leaves behind, once the broker has let it in under that name.
    func owner(_ userName: String?) -> RequestOwner {
        let proof: RequestOwner.Proof =
            switch (transportIdentity, credentials) {
            case (_?, _): .certificate
            case (nil, .basic?): .password
            case (nil, .token?): .token
            case (nil, nil): .nothing
            }
        return RequestOwner(userName: userName, by: proof)
    }

    init(
        clientID: String,
        credentials: RequestCredentials?,
        address: ClientAddress,
        transportIdentity: String? = nil
    ) {
        self.clientID = clientID
        self.credentials = credentials
        self.address = address
        self.transportIdentity = transportIdentity
    }

    /// A token that is no session token of ours is left to the broker's authenticator.
    ///
    /// - Throws: 403 for a session token that is good for another Client Identifier, 400 for one that MQTT can't say.
    init(
        _ authorization: Authorization,
        clientID: String,
        address: ClientAddress,
        transportIdentity: String?,
        tokens: AccessTokens
    ) throws(Problem) {
        guard clientID.utf8.count <= 65_535, !clientID.utf8.contains(0) else {
            throw .badRequest("a clientid has at most 65,535 bytes, and no U+0000", .clientIdentifierNotValid)
        }
        var credentials: RequestCredentials?
        var clientID = clientID
        switch authorization {
        case .none: break
        case .basic(let shown): credentials = .basic(shown)
        case .bearer(let token):
            guard let grant = tokens.grant(of: token, at: .now()) else {
                credentials = .token(token)
                break
            }
            if let only = grant.clientID, !clientID.isEmpty, !clientID.isSame(as: only) {
                throw Problem(.forbidden, .notAuthorized, "the token is good for another clientid")
            }
            clientID = grant.clientID ?? clientID
            credentials = grant.credentials.map { .basic($0) }
        }
        self.init(
            clientID: clientID,
            credentials: credentials,
            address: address,
            transportIdentity: transportIdentity
        )
    }

    /// CONNECT for a request that is over at once.
    var transientConnect: ConnectRequest {
        var request = ConnectRequest(clientID: clientID, isTransient: true)
        request.identify(credentials)
        return request
    }

    /// The broker said no to CONNECT.
    func refused(_ reasonCode: ReasonCode) -> Problem {
        if case .token = credentials, reasonCode == .badUserNameOrPassword { return .invalidToken.told }
        return Problem(reasonCode, hasCredentials: credentials != nil || transportIdentity != nil)
    }
}

extension CoreLoop {
    /// Runs a request on the core as one virtual connection: connects, does the work, disconnects.
    ///
    /// - Throws: what the broker said to CONNECT.
    func transact<Value: Sendable>(
        as identity: Identity,
        _ work: @escaping @Sendable (Broker, VirtualConnection) -> Value
    ) async throws(Problem) -> Value {
        let connection = VirtualConnection(
            transportProtocol: .http,
            address: identity.address,
            transportIdentity: identity.transportIdentity,
            // It subscribes to nothing, and is never told anything.
            outlet: .messages(MessageSink(capacity: 0, receive: { _ in }, closed: { _ in }))
        )
        let result = await perform(connecting: identity.transientConnect, on: connection) {
            broker,
            connected -> Result<Value, Problem> in
            guard !connected.reasonCode.isError else { return .failure(identity.refused(connected.reasonCode)) }
            let value = work(broker, connection)
            broker.disconnect(connection, reason: .normalDisconnection)
            return .success(value)
        }
        let value = try result.value.get()
        guard result.isStored else { throw .storeUnavailable }
        return value
    }
}
