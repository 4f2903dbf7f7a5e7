package import BrokerCore
package import MQTTCodec
package import NIOCore

/// One webhook: what is posted, and where.
package struct WebhookConfiguration: Sendable {
    /// Names it in logs, and its session.
    package var name: String
    /// `http` or `https`; without credentials, which are a header.
    package var url: String
    /// What else each request says.
    package var headers: [WebhookHeader] = []
    /// Topic Filters.
    package var topics: [String]
    package var qos = QoS.atLeastOnce
    /// The user it is to the access rules; nil is its name.
    package var user: String?
    /// nil signs nothing.
    package var signature: WebhookSignature?
    /// How long the endpoint may take to answer.
    package var timeout = TimeAmount.seconds(10)
    package var schedule = DeliverySchedule<Webhook.Item>.Rules()
    /// Seconds its session outlives a stop of the broker.
    package var sessionExpiryInterval = UInt32.max

    package init(name: String, url: String, topics: [String]) {
        self.name = name
        self.url = url
        self.topics = topics
    }

    /// Of its session, one of the broker's own: the same after each start, so that what came meanwhile is there.
    package var sessionName: SessionName { .webhook(name) }
}

extension SessionName {
    /// A webhook's.
    package static func webhook(_ name: String) -> SessionName { .own("webhook:\(name)") }
}

/// What has become of a webhook's messages since the start.
package struct WebhookStatistics: Sendable, Equatable {
    /// Whether requests are made.
    package enum Circuit: String, Sendable {
        case closed
        /// The endpoint has failed too often: none are made for a time.
        case open
        /// One is made, to find out whether the endpoint is back.
        case halfOpen = "half-open"
    }

    /// Requests made.
    package var attempts = 0
    /// Of them, those that were made before with the same messages.
    package var retries = 0
    /// Of them, those that failed and are made again.
    package var failures = 0
    /// Messages that the endpoint has taken.
    package var delivered = 0
    /// Messages that the endpoint refused for good.
    package var refused = 0
    /// Messages that are here and not over; the session's queue holds more.
    package var waiting = 0
    /// The circuit breaker's state.
    package var circuit = Circuit.closed

    package init() {}
}
