import BrokerCore
import BrokerTestSupport
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// A message layer that sends into an array.
final class RecordedLayer: MessageLayer {
    enum Sent {
        case acknowledgement(UInt16, CoAPResponse?)
        case nonConfirmable(UInt16, Token, CoAPResponse)
        case confirmable(ConfirmableID, Token, CoAPResponse)
    }

    var isReliable = false
    /// Bytes that may be sent to endpoints whose address is not proven.
    var allowances: [EndpointID: Int] = [:]
    /// Endpoints that were asked for a sign of life.
    var pinged: [(ConfirmableID, EndpointID)] = []
    var largest = 1_152
    /// What comes of confirmable messages, if they can't be sent.
    var sendFailure: SendFailure?
    var sent: [Sent] = []
    /// How often each endpoint is held.
    var held: [EndpointID: Int] = [:]
    var identities: [EndpointID: String] = [:]
    var disconnected: [EndpointID] = []
    private var lastMessageID: UInt16 = 0
    private var lastConfirmable: UInt = 0

    /// Where endpoints are that are anywhere.
    var addresses: [EndpointID: String] = [:]

    func remoteAddress(of endpoint: EndpointID) -> String { addresses[endpoint] ?? "endpoint \(endpoint.rawValue)" }

    func identity(of endpoint: EndpointID) -> String? { identities[endpoint] }

    func largestMessage(to endpoint: EndpointID) -> Int { largest }

    func allowance(to endpoint: EndpointID) -> Int? { allowances[endpoint] }

    func echo(for endpoint: EndpointID) -> [UInt8] { [UInt8](repeating: UInt8(endpoint.rawValue & 0xff), count: 8) }

    func ping(_ endpoint: EndpointID) throws(SendFailure) -> ConfirmableID {
        if let sendFailure { throw sendFailure }
        lastConfirmable += 1
        let id = ConfirmableID(rawValue: lastConfirmable)
        pinged.append((id, endpoint))
        return id
    }

    func disconnect(_ endpoint: EndpointID) { disconnected.append(endpoint) }

    func acknowledge(_ messageID: UInt16, token: Token, response: CoAPResponse?, to endpoint: EndpointID) {
        sent.append(.acknowledgement(messageID, response))
    }

    func sendNonConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> UInt16? {
        lastMessageID &+= 1
        sent.append(.nonConfirmable(lastMessageID, token, response))
        return lastMessageID
    }

    func sendConfirmable(
        _ response: CoAPResponse,
        token: Token,
        to endpoint: EndpointID
    ) throws(SendFailure) -> ConfirmableID {
        if let sendFailure { throw sendFailure }
        if let most = allowances[endpoint], response.encodedLength + Int(token.length) > most { throw .unproven }
        lastConfirmable += 1
        let id = ConfirmableID(rawValue: lastConfirmable)
        sent.append(.confirmable(id, token, response))
        return id
    }

    func hold(_ endpoint: EndpointID) { held[endpoint, default: 0] += 1 }

    func release(_ endpoint: EndpointID) { held[endpoint, default: 0] -= 1 }

    func take() -> [Sent] {
        defer { sent = [] }
        return sent
    }
}

/// The server, the core and no thread between them: a turn is a call, time a variable.
final class ServerScene {
    let layer = RecordedLayer()
    let server: CoAPServer<RecordedLayer>
    let broker: Broker
    private let inbox = CoreInbox(wake: {})
    private let gateway: CoreGateway
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    let endpoint = EndpointID(rawValue: 1)
    private var lastMessageID: UInt16 = 0

    init(
        authenticator: any Authenticator = AnonymousAccess(),
        authorizer: (any Authorizer)? = nil,
        _ change: (inout CoAPListener.Configuration) -> Void = { _ in }
    ) {
        let configuration = CoAPListener.Configuration.local(change)
        server = CoAPServer(layer: layer, configuration: configuration, limits: Limits())
        broker = Broker(authenticator: authenticator, authorizer: authorizer, now: now)
        gateway = CoreGateway(
            inbox: inbox,
            receiveMaximum: configuration.receiveMaximum,
            capacity: configuration.notificationQueue,
            maximumBytes: configuration.notificationBytes
        )
    }

    /// Hands a request in, without letting the core answer.
    @discardableResult
    func receive(
        _ code: CoAPCode,
        _ uri: String,
        confirmable: Bool = true,
        messageID: UInt16? = nil,
        token: [UInt8] = [7],
        observe: UInt8? = nil,
        payload: String = "",
        from other: EndpointID? = nil
    ) -> UInt16 {
        lastMessageID = messageID ?? lastMessageID + 1
        let options: [(UInt16, [UInt8])] = observe.map { [(6, $0 == 0 ? [] : [$0])] } ?? []
        server.received(
            request(
                code,
                uri,
                confirmable: confirmable,
                messageID: lastMessageID,
                token: token,
                options: options,
                payload: text(payload)
            ),
            from: other ?? endpoint,
            now: now
        )
        return lastMessageID
    }

    /// A request and all that is sent until nobody has anything left to say; the answer in an acknowledgement first.
    @discardableResult
    func ask(
        _ code: CoAPCode,
        _ uri: String,
        token: [UInt8] = [7],
        observe: UInt8? = nil,
        payload: String = "",
        from other: EndpointID? = nil
    ) -> CoAPResponse? {
        let messageID = receive(code, uri, token: token, observe: observe, payload: payload, from: other)
        settle()
        let place = layer.sent.firstIndex {
            if case .acknowledgement(messageID, _) = $0 { true } else { false }
        }
        guard let place, case .acknowledgement(_, let response) = layer.sent.remove(at: place) else { return nil }
        return response
    }

    /// Begins a session.
    ///
    /// - Returns: what further requests have in their query.
    func beginSession(_ query: String = "clean=0&ka=0") throws -> String {
        let answer = try #require(ask(.post, "/mqtt/connection?clientid=d&\(query)"))
        try #require(answer.code == .created || answer.code == .changed, "\(answer)")
        try #require(!answer.text.isEmpty)
        return "c=d&t=\(answer.text)"
    }

    /// Acknowledges confirmable messages until there are none; their payloads.
    func acknowledgeAll() -> [String] {
        var payloads: [String] = []
        while true {
            settle()
            var isDone = true
            for sent in layer.take() {
                guard case .confirmable(let id, _, let response) = sent else { continue }
                payloads.append(response.text)
                server.acknowledged(id, now: now)
                isDone = false
            }
            if isDone { return payloads }
        }
    }

    /// Turns until nobody has anything left to say.
    func settle() {
        broker.advance(to: now)
        while true {
            server.endTurn(now: now)
            if let batch = server.takeBatch() { gateway.perform(batch, broker) }
            broker.proceed()
            broker.flush()
            let events = inbox.takeAll()
            if events.isEmpty, !broker.hasBacklog { return }
            server.take(events, now: now)
        }
    }

    func publish(_ topic: String, _ payload: String, qos: QoS) throws -> ReasonCode {
        let publisher = VirtualConnection(
            transportProtocol: .mqtt,
            remoteAddress: "test",
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
        _ = broker.connect(ConnectRequest(), on: publisher)
        defer { broker.disconnect(publisher, reason: .normalDisconnection) }
        return broker.publish(
            Message(topic: try TopicName(topic), payload: ByteBuffer(string: payload), qos: qos),
            from: publisher
        )
    }
}

extension CoAPResponse {
    /// The payload as text.
    var text: String { withPayload { String(decoding: $0, as: UTF8.self) } }
}
