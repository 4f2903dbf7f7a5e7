import MQTTCodec

// Enhanced authentication (MQTT 5.0 §4.12): the adapter carries the messages; the core begins exchanges and applies
// their results.
extension Broker {
    /// Begins the exchange for a CONNECT with an Authentication Method.
    ///
    /// The adapter continues with `connect(_:authenticatedAs:on:)`.
    ///
    /// - Returns: the exchange, or the Reason Code for CONNACK.
    package func beginAuthentication(
        _ method: String,
        _ request: ConnectRequest,
        on connection: VirtualConnection
    ) -> Result<any AuthenticationExchange, RequestRefused> {
        let credentials = credentials(of: request, clientID: request.clientID, connection)
        let reason: ReasonCode
        if let refused = reasonToRefuse(connection) {
            reason = refused
        } else if connection.transportIdentity == nil,
            let exchange = access.enhancedAuthenticator?.begin(method, for: credentials)
        {
            return .success(exchange)
        } else {
            // It is also refused when the transport has identified the client, which can't have two identities.
            reason = .badAuthenticationMethod
        }
        _ = refuse(connection, reason, request)
        return .failure(RequestRefused(reasonCode: reason))
    }

    /// Begins another exchange on a live connection, for AUTH with Re-authenticate (MQTT 5.0 §4.12.1).
    ///
    /// - Returns: nil when the method is not offered any more.
    package func beginReauthentication(
        _ method: String,
        on connection: VirtualConnection
    ) -> (any AuthenticationExchange)? {
        guard let session = connection.session else { return nil }
        let request = ConnectRequest(clientID: session.clientID, userName: session.userName)
        return access.enhancedAuthenticator?.begin(
            method,
            for: credentials(of: request, clientID: session.clientID, connection)
        )
    }

    /// Whether the client that has re-authenticated is still the user of the session.
    package func isSameUser(_ userName: String?, on connection: VirtualConnection) -> Bool {
        guard let session = connection.session else { return false }
        return session.userName.isSame(as: userName)
    }

    /// Extends a connection's authentication to the expiry of a later token, which its client has used on another
    /// connection.
    ///
    /// Nothing changes when the tokens belong to different users.
    package func prolong(_ connection: VirtualConnection, byTokenOf other: VirtualConnection) {
        guard connection.hasToken, other.hasToken, let userName = other.userName, isSameUser(userName, on: connection),
            let expiresAt = connection.tokenExpiresAt
        else { return }
        connection.tokenExpiresAt = other.tokenExpiresAt.map { max($0, expiresAt) }
    }

    /// The authenticator's answers may have changed: pending answers are requested again when they arrive.
    ///
    /// `endConnections` is for clients that are already connected.
    package func credentialsChanged() { access.credentialsChanged() }
}
