import MQTTCodec

// Enhanced authentication (MQTT 5.0 §4.12): the adapter carries the messages, the core begins exchanges and draws the
// conclusions.
extension Broker {
    /// CONNECT with an Authentication Method: begins the exchange that decides.
    ///
    /// The adapter goes on with `connect(_:authenticatedAs:on:)`.
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
            // Also where the transport has named the client: it can't have two identities.
            reason = .badAuthenticationMethod
        }
        _ = refuse(connection, reason, request)
        return .failure(RequestRefused(reasonCode: reason))
    }

    /// AUTH with Re-authenticate: begins another exchange on a live connection (MQTT 5.0 §4.12.1).
    ///
    /// - Returns: nil when the method is no longer offered.
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

    /// Whether the client that has authenticated anew is still the one whose session this is.
    package func isSameUser(_ userName: String?, on connection: VirtualConnection) -> Bool {
        guard let session = connection.session else { return false }
        return session.userName.isSame(as: userName)
    }

    /// The client of a connection has shown a token at another one, too: it may stay for as long as the longer of both.
    ///
    /// Nothing changes when they are not the same user's.
    package func prolong(_ connection: VirtualConnection, byTokenOf other: VirtualConnection) {
        guard connection.hasToken, other.hasToken, let userName = other.userName, isSameUser(userName, on: connection),
            let expiresAt = connection.tokenExpiresAt
        else { return }
        connection.tokenExpiresAt = other.tokenExpiresAt.map { max($0, expiresAt) }
    }

    /// What the access.authenticator says may be different from now on: answers that are still on their way are asked for again
    /// when they come.
    ///
    /// Clients that are connected are for `endConnections`.
    package func credentialsChanged() { access.credentialsChanged() }
}
