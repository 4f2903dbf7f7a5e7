package import BrokerCore
package import MQTTCodec

/// What a request asks of the core; sans I/O.
///
/// `init` is the one table of methods and MQTT operations.
package enum RequestOperation: Sendable {
    case publish(PublishOperation)
    /// GET: the retained message of a topic.
    case read(TopicName)
    /// GET with Observe 0: SUBSCRIBE.
    case observe(ObserveOperation)
    /// GET with Observe 1: UNSUBSCRIBE, and the retained message once more; no topic when it is a filter.
    ///
    /// `unsubscribing` the filter even where a session would keep it.
    case endObservation(TopicName?, unsubscribing: String?)
    case wellKnownCore
    /// POST to `/mqtt/connection`: CONNECT.
    case connect(ConnectionQuery)
    /// PUT to `/mqtt/connection`: PINGREQ.
    case heartbeat
    /// DELETE of `/mqtt/connection`: DISCONNECT.
    case disconnect

    /// Reads a request whose body is complete.
    ///
    /// - Throws: the response that refuses it.
    package init(
        _ request: CoAPRequest,
        query: RequestQuery,
        bareTopics: Bool,
        limits: Limits
    ) throws(CoAPFailure) {
        // The collection that /.well-known/core links to has the same links (draft-ietf-core-coap-pubsub).
        if request.code == .get, request.observe == nil, request.path == ["ps"], query.topic == nil {
            self = .wellKnownCore
            return
        }
        let resource = try ResourcePath(path: request.path, topicArgument: query.topic, bareTopics: bareTopics)
        let topic: String
        let root: String?
        switch resource {
        case .wellKnownCore:
            self = .wellKnownCore
            return
        case .connection:
            try query.check(isConnection: true)
            self = try Self.connection(request, query)
            return
        case .topic(let name, let under): (topic, root) = (name, under)
        }
        try query.check(isConnection: false)
        switch request.code {
        case .get where request.observe == 0:
            self = .observe(try ObserveOperation(request, query, filter: topic, root: root, limits))
        case .get where request.observe == 1:
            self = .endObservation(try? TopicName(topic), unsubscribing: query.unsubscribes ? topic : nil)
        case .get:
            guard !topic.utf8.contains(where: { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }) else {
                throw CoAPFailure(.topicNameInvalid, "GET reads one topic: with wildcards, add Observe to subscribe")
            }
            self = .read(try TopicName.checked(topic))
        case .post, .put, .delete:
            self = .publish(try PublishOperation(request, query, topic: try TopicName.checked(topic), limits))
        default:
            throw CoAPFailure(.methodNotAllowed, "a topic has GET, POST, PUT and DELETE")
        }
    }

    private static func connection(
        _ request: CoAPRequest,
        _ query: RequestQuery
    ) throws(CoAPFailure) -> RequestOperation {
        guard [.post, .put, .delete].contains(request.code) else {
            throw CoAPFailure(.methodNotAllowed, "a connection has POST, PUT and DELETE")
        }
        guard !query.credentials.clientID.isEmpty else {
            throw CoAPFailure.clientIDMissing("a connection needs a clientid")
        }
        guard request.code != .post else {
            _ = try query.connection.will()
            return .connect(query.connection)
        }
        guard query.token != nil else { throw CoAPFailure.badToken }
        return request.code == .put ? .heartbeat : .disconnect
    }
}

/// PUBLISH, as POST, PUT and DELETE mean it.
package struct PublishOperation: Sendable {
    package let topic: TopicName
    package let payload: [UInt8]
    package let qos: QoS
    package let retain: Bool
    package let properties: PublishProperties?
    /// The response when it is done: 2.02 to DELETE, else 2.04.
    package let done: CoAPCode
    /// Whether to say 2.01 when no retained message stood before.
    package let tellsCreated: Bool
    /// If-None-Match: only when no retained message stands (RFC 7252 §5.10.8.2).
    package let mustNotExist: Bool
    /// If-Match: only when the retained message has one of these ETags, an empty one standing for any; none asks nothing.
    package let mustMatch: [[UInt8]]

    init(_ request: CoAPRequest, _ query: RequestQuery, topic: TopicName, _ limits: Limits) throws(CoAPFailure) {
        self.topic = topic
        qos = try query.qos(of: request, limits)
        guard request.payload.count <= limits.maximumPacketSize else {
            throw CoAPFailure.tooLarge(limits.maximumPacketSize)
        }
        mustNotExist = request.ifNoneMatch
        mustMatch = request.ifMatch
        guard request.code != .delete else {
            // A retained message is cleared by one without payload [MQTT-3.3.1-6].
            payload = []
            retain = true
            properties = nil
            done = .deleted
            tellsCreated = false
            return
        }
        payload = request.payload
        retain = query.retain ?? (request.code == .put)
        done = .changed
        tellsCreated = request.code == .put && retain && !payload.isEmpty
        var described = PublishProperties()
        described.messageExpiryInterval = query.expiry
        if let format = request.contentFormat { ContentFormat.describe(format, in: &described) }
        properties = described.isEmpty ? nil : described
    }
}

/// SUBSCRIBE, as GET with Observe 0 means it.
package struct ObserveOperation: Sendable {
    package let filter: TopicFilter
    package var options: SubscriptionOptions
    /// The topic whose retained message is the response's payload; nil when the filter is none.
    package let topic: TopicName?
    /// The path segment topics stand under, for the Location-Path of notifications.
    package let root: String?
    /// Only the latest message of each topic is wanted.
    package let coalesces: Bool

    init(
        _ request: CoAPRequest,
        _ query: RequestQuery,
        filter: String,
        root: String?,
        _ limits: Limits
    ) throws(CoAPFailure) {
        do throws(TopicError) {
            self.filter = try TopicFilter(filter)
        } catch {
            throw CoAPFailure(.topicFilterInvalid, error.description)
        }
        guard self.filter.shareName == nil || !query.noLocal else {
            throw CoAPFailure(.protocolError, "No Local on a shared subscription [MQTT-3.8.3-4]")
        }
        options = SubscriptionOptions(
            qos: try query.qos(of: request, limits),
            noLocal: query.noLocal,
            retainHandling: query.retainHandling
        )
        topic = self.filter.shareName == nil ? try? TopicName(filter) : nil
        self.root = root
        coalesces = query.coalesces
    }
}

extension RequestQuery {
    /// A confirmable request is to be sure, a non-confirmable one is not, unless it says otherwise.
    fileprivate func qos(of request: CoAPRequest, _ limits: Limits) throws(CoAPFailure) -> QoS {
        guard let qos else { return request.isConfirmable && limits.maximumQoS > 0 ? .atLeastOnce : .atMostOnce }
        guard Int(qos.rawValue) <= limits.maximumQoS else {
            throw CoAPFailure(.qosNotSupported, "the highest is \(limits.maximumQoS)")
        }
        return qos
    }
}

extension TopicName {
    fileprivate static func checked(_ topic: String) throws(CoAPFailure) -> TopicName {
        do throws(TopicError) {
            return try TopicName(topic)
        } catch {
            throw CoAPFailure(.topicNameInvalid, error.description)
        }
    }
}

extension CoAPFailure {
    static var badToken: CoAPFailure {
        CoAPFailure(.badUserNameOrPassword, "no session has that clientid and token: POST to /mqtt/connection")
    }

    static func tooLarge(_ maximum: Int) -> CoAPFailure {
        var failure = CoAPFailure(.packetTooLarge, "a body has at most \(maximum) bytes")
        failure.size1 = maximum
        return failure
    }
}
