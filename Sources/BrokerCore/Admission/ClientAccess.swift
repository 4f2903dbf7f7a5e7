import NIOCore

/// The authentication and authorisation of clients: the ports, and the generations of their answers.
struct ClientAccess {
    let authenticator: any Authenticator
    /// The authenticator for enhanced authentication; nil offers no Authentication Method (MQTT 5.0 §4.12).
    let enhancedAuthenticator: (any EnhancedAuthenticator)?
    /// The authorizer; nil lets every client use every topic.
    let authorizer: (any Authorizer)?
    /// Incremented when the authenticator's answers may have changed.
    private(set) var credentialsGeneration: UInt64 = 0
    /// Incremented when the authorizer's answers may have changed.
    private(set) var rightsGeneration: UInt64 = 1
    /// The rate of accepted CONNECT packets; nil is unlimited.
    private var connectionRate: TokenBucket?
    /// The publish rates of clients that connect for one request at a time.
    private var transientRates = TransientPublishRates()

    /// - Parameter connectionRate: CONNECT packets a second; 0 is unlimited.
    init(
        _ authenticator: any Authenticator,
        _ enhancedAuthenticator: (any EnhancedAuthenticator)?,
        _ authorizer: (any Authorizer)?,
        connectionRate: Int,
        now: NIODeadline
    ) {
        self.authenticator = authenticator
        self.enhancedAuthenticator = enhancedAuthenticator
        self.authorizer = authorizer
        if connectionRate > 0 { self.connectionRate = TokenBucket(rate: connectionRate, now: now) }
    }

    mutating func credentialsChanged() { credentialsGeneration &+= 1 }

    mutating func rightsChanged() { rightsGeneration &+= 1 }

    /// Whether one more CONNECT packet is accepted.
    mutating func takeConnect(at now: NIODeadline) -> Bool { connectionRate?.take(at: now) ?? true }

    /// The rate that all requests of one user at one address share.
    mutating func transientRate(
        of userName: String?,
        at address: String,
        _ rate: Int,
        now: NIODeadline
    ) -> PublishRate {
        transientRates.rate(of: userName, at: address, rate, now: now)
    }
}
