import BrokerCore
import HTTPTypes
import MQTTCodec
import NIOCore

/// Who makes a request.
struct Identity: Sendable {
    /// Empty: the broker makes one up.
    let clientID: String
    let credentials: BasicCredentials?
    let remoteAddress: String

    init(clientID: String, credentials: BasicCredentials?, remoteAddress: String) {
        self.clientID = clientID
        self.credentials = credentials
        self.remoteAddress = remoteAddress
    }

    /// - Throws: 401 for a token that is worthless, 403 for one that is good for another Client Identifier.
    init(
        _ authorization: Authorization,
        clientID: String,
        remoteAddress: String,
        tokens: AccessTokens
    ) throws(Problem) {
        switch authorization {
        case .none: self.init(clientID: clientID, credentials: nil, remoteAddress: remoteAddress)
        case .basic(let credentials):
            self.init(clientID: clientID, credentials: credentials, remoteAddress: remoteAddress)
        case .bearer(let token):
            guard let grant = tokens.grant(of: token, at: .now()) else { throw .invalidToken }
            if let only = grant.clientID, !clientID.isEmpty, clientID != only {
                throw Problem(.forbidden, .notAuthorized, "the token is good for another clientid")
            }
            self.init(
                clientID: grant.clientID ?? clientID,
                credentials: grant.credentials,
                remoteAddress: remoteAddress
            )
        }
    }

    /// CONNECT for a request that is over at once.
    var transientConnect: ConnectRequest {
        var request = ConnectRequest(clientID: clientID, isTransient: true)
        request.identify(credentials)
        return request
    }

    /// The broker said no to CONNECT.
    func refused(_ reasonCode: ReasonCode) -> Problem { Problem(reasonCode, hasCredentials: credentials != nil) }
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
            remoteAddress: identity.remoteAddress,
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
