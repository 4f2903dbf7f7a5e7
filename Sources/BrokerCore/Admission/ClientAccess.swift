import NIOCore

/// Who may connect, and what they may do: the ports that answer that, and since when an answer holds.
struct ClientAccess {
    let authenticator: any Authenticator
    /// nil offers no Authentication Method (MQTT 5.0 §4.12).
    let enhancedAuthenticator: (any EnhancedAuthenticator)?
    /// nil lets every client use every topic.
    let authorizer: (any Authorizer)?
    /// Counts the times that the authenticator's answers became other ones.
    private(set) var credentialsGeneration: UInt64 = 0
    /// The same of the authorizer's answers.
    private(set) var rightsGeneration: UInt64 = 1
    /// CONNECT packets that are let in; nil is any number.
    private var connectionRate: TokenBucket?
    /// Publish rates of clients that are connected for one request at a time.
    private var transientRates = TransientPublishRates()

    /// - Parameter connectionRate: CONNECT packets a second; 0 is any number.
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

    /// Whether one more CONNECT packet is let in.
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
