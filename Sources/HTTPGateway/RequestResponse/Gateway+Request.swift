import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

extension Gateway {
    /// `POST /v1/request/{topic}`: publishes a request and answers with the response (MQTT 5.0 §4.10).
    func request(_ exchange: Exchange, path: String, _ body: ByteBuffer) async throws(Problem) -> Response {
        let longest = Int(configuration.maximumWait.components.seconds)
        let timeout = min(try exchange.query.integer("timeout", in: 1...86_400) ?? Self.defaultTimeout, longest)
        let options = try PublishOptions(exchange.query, exchange.fields)
        guard !options.retain else { throw .badRequest("a request can't be retained: its response comes once") }
        let message = try options.request(topic: try TopicPath.topic(path), payload: body)
        let requester = try await Requester(message, as: try exchange.identity(tokens), self)
        defer { requester.close() }
        guard let response = try await requester.response(within: timeout, exchange.client) else {
            throw Problem(
                .gatewayTimeout,
                nil,
                "no response came within \(timeout) seconds"
            )
        }
        var fields: HTTPFields = [
            .contentType: response.contentType,
            .cacheControl: "no-store",
            .xContentTypeOptions: "nosniff",
            .contentSecurityPolicy: "sandbox",
        ]
        fields.append(userPropertiesOf: response)
        return Response(status: .ok, headers: fields, body: response.payload)
    }

    /// Seconds.
    private static let defaultTimeout = 10
}

/// A virtual connection that has published a request and waits for its response.
///
/// It has no session to speak of: whatever its Client Identifier, the session of that name is left alone.
final class Requester: Sendable {
    /// Responses that may wait to be looked at; others go where they come from.
    private static let capacity = 16

    private let inbox: Inbox
    private let core: CoreLoop
    private let connection: VirtualConnection
    private let correlationData: ByteBuffer

    /// Connects, subscribes to the Response Topic and publishes.
    ///
    /// - Throws: what the broker refused, or 504 when nobody is there to respond.
    init(_ message: PublishRequest, as identity: Identity, _ gateway: Gateway) async throws(Problem) {
        let inbox = Inbox()
        let connection = VirtualConnection(
            transportProtocol: .http,
            address: identity.address,
            transportIdentity: identity.transportIdentity,
            outlet: .messages(
                MessageSink(
                    capacity: Self.capacity,
                    maximumBytes: gateway.configuration.subscriberBytes,
                    receive: { inbox.receive($0) },
                    closed: { inbox.close($0) }
                )
            )
        )
        let correlationData = message.properties?.correlationData ?? ByteBuffer(string: Token.random())
        let sent = await gateway.core.perform(connecting: identity.transientConnect, on: connection) {
            broker,
            connected -> Problem? in
            guard !connected.reasonCode.isError else { return identity.refused(connected.reasonCode) }
            var request = message
            request.expectResponse(from: connected.clientID, correlationData)
            let problem = Self.send(request, connection, broker)
            if problem != nil { broker.disconnect(connection, reason: .normalDisconnection) }
            return problem
        }
        if let problem = sent.value { throw problem }
        guard sent.isStored else {
            gateway.core.submit { $0.disconnect(connection, reason: .normalDisconnection) }
            throw .storeUnavailable
        }
        self.inbox = inbox
        self.connection = connection
        self.correlationData = correlationData
        core = gateway.core
    }

    private static func send(_ request: PublishRequest, _ connection: VirtualConnection, _ broker: Broker) -> Problem? {
        let filter = request.properties?.responseTopic ?? ""
        let subscription = Subscribe.Subscription(
            filter: filter,
            options: SubscriptionOptions(qos: .atLeastOnce, noLocal: true, retainHandling: .doNotSend)
        )
        var granted = ReasonCode.success
        broker.subscribe([subscription], identifier: nil, on: connection) { granted = $0.first ?? .success }
        guard !granted.isError else { return Problem(granted, detail: "the Response Topic \(filter): \(granted.name)") }
        let reason = broker.publish(request, from: connection)
        guard !reason.isError else { return Problem(reason) }
        // Nobody will hear it, and so nobody will respond.
        return reason == .noMatchingSubscribers
            ? Problem(.gatewayTimeout, reason, "nobody is subscribed to \(request.topic)") : nil
    }

    /// Waits for the message that has the Correlation Data.
    ///
    /// - Returns: nil when time is up.
    /// - Throws: why the broker has ended the connection.
    func response(within seconds: Int, _ client: Client) async throws(Problem) -> Message? {
        let inbox = inbox
        let alarm = Alarm(client.channel, after: .seconds(Int64(seconds))) { inbox.alarm() }
        client.presence.onLeaving { inbox.leave() }
        defer {
            alarm.cancel()
            client.presence.onLeaving(nil)
        }
        while true {
            switch await inbox.next(maximum: Self.capacity) {
            case .deliveries(let batch):
                let found = batch.first { $0.message.properties?.values.correlationData == correlationData }
                if let found { return found.message }
                acknowledge(batch)
            case .closed(let reason): throw Problem(reason)
            case .alarm, .left, .superseded: return nil
            }
        }
    }

    private func acknowledge(_ batch: [Delivery]) {
        let connection = connection
        core.submit { broker in
            broker.consumed(batch.count, on: connection)
            for delivery in batch { if let id = delivery.packetID { broker.acknowledge(id, on: connection) } }
        }
    }

    /// DISCONNECT.
    func close() {
        let connection = connection
        core.submit { $0.disconnect(connection, reason: .normalDisconnection) }
    }
}

extension PublishRequest {
    /// Names where the response is to go, unless the client has.
    fileprivate mutating func expectResponse(from clientID: String, _ correlationData: ByteBuffer) {
        var properties = properties ?? PublishProperties()
        // Below the Client Identifier, so that an access control file can say `pattern read replies/%c/#`.
        let isLevel = !clientID.utf8.contains { "+#/".utf8.contains($0) }
        properties.responseTopic =
            properties.responseTopic ?? "replies/\(isLevel ? clientID + "/" : "")\(Token.random())"
        properties.correlationData = correlationData
        self.properties = properties
    }
}
