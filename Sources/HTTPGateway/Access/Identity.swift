import BrokerCore
import MQTTCodec

/// Who makes a request.
struct Identity: Sendable {
    /// Empty: the broker makes one up.
    let clientID: String
    let credentials: BasicCredentials?
    let remoteAddress: String

    /// - Throws: 400 or 401 when it can't be understood.
    init(_ query: Query, authorization: String?, remoteAddress: String) throws(Problem) {
        clientID = try query.string("clientid") ?? ""
        credentials = try BasicCredentials.from(authorization)
        self.remoteAddress = remoteAddress
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
        return try result.get()
    }
}
