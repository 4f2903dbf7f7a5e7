import BrokerCore
import BrokerTestSupport
import CoAPGateway
import MQTTCodec
import NIOCore

/// Reads arbitrary bytes as a schedule of what several CoAP endpoints do, and as the datagrams they send.
///
/// Whatever they send, the gateway must not crash, what it answers must fit a datagram, and when all of them are gone
/// nothing of theirs may be left that keeps others out.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var script = Script(bytes: ByteBuffer(bytes: UnsafeRawBufferPointer(start: start, count: count)))
    script.run()
    return 0
}

/// One run of a gateway and its broker with four endpoints.
private struct Script {
    private static let endpoints = (1...4).map { EndpointID(rawValue: $0) }
    private static let topics = [
        "a", "a/b", "a/b/c", "$SYS/a", "a//b", "\u{e9}", longTopic, longerTopic,
    ]
    /// One that leaves little room in a datagram, and one that leaves none.
    private static let longTopic = String(repeating: "fifteen letters/", count: 50)
    private static let longerTopic = String(repeating: "fifteen letters/", count: 150)
    private static let uploadBytes = 2_048
    private static let observations = 4

    private var bytes: ByteBuffer
    private let scene: ServerScene
    /// Of the session that was begun last; a request says `t=$` for it.
    private var token = ""
    private var hadSession = false
    private var confirmables: [ConfirmableID] = []
    private var messageIDs: [UInt16] = []

    init(bytes: ByteBuffer) {
        self.bytes = bytes
        let flags = self.bytes.readInteger(as: UInt8.self) ?? 0
        scene = ServerScene {
            $0.bareTopics = flags & 1 != 0
            $0.nstart = flags & 4 == 0 ? 1 : 2
            $0.clientsPerEndpoint = 2
            $0.sessions = 2
            $0.rememberedPublishes = 2
            $0.observations = Self.observations
            $0.observationsPerEndpoint = Self.observations
            $0.rememberedMessages = 4
            $0.pendingRequests = 8
            $0.transfersPerEndpoint = 2
            $0.uploadBytes = Self.uploadBytes
            $0.receiveMaximum = 3
            $0.notificationQueue = 4
            $0.separateResponseAfter = 500
            $0.fetchPause = 3_000
        }
        scene.layer.isReliable = flags & 8 != 0
        if flags & 2 != 0 { scene.layer.allowances = [Self.endpoints[0]: 100, Self.endpoints[1]: 20] }
    }

    mutating func run() {
        while let step = bytes.readInteger(as: UInt8.self) {
            act(step >> 2, Self.endpoints[Int(step & 0x03)])
            check()
        }
        end()
    }

    private mutating func act(_ action: UInt8, _ endpoint: EndpointID) {
        switch action % 10 {
        case 0: receive(endpoint)
        case 1:
            receive(endpoint)
            scene.settle()
        case 2: scene.settle()
        case 3:
            if let id = confirmable() { scene.server.acknowledged(id, now: scene.now) }
        case 4:
            let failure: DeliveryFailure = byte() & 1 == 0 ? .reset : .unreachable
            if let id = confirmable() { scene.server.failed(id, failure) }
        case 5: scene.server.reset(messageIDs.isEmpty ? 0 : messageIDs[Int(byte()) % messageIDs.count], from: endpoint)
        case 6: leave(endpoint)
        case 7: scene.now = scene.now + .milliseconds(Int64(byte()) * Int64(byte()))
        case 8: publish()
        default: takeOver()
        }
    }

    // MARK: What happens

    /// Hands in what libcoap would: a message that is whole, with a method and a token it knows.
    private mutating func receive(_ endpoint: EndpointID) {
        let length = min(Int(byte()) << 8 | Int(byte()), bytes.readableBytes)
        guard let datagram = bytes.readBytes(length: length), let message = RawMessage(datagram),
            message.kind == .confirmable || message.kind == .nonConfirmable, (1...7).contains(message.code),
            message.token.count <= 8
        else { return }
        var request = CoAPRequest(
            isConfirmable: message.kind == .confirmable,
            code: CoAPCode(rawValue: message.code),
            messageID: message.messageID,
            token: Token(message.token)
        )
        for option in message.options {
            guard let number = UInt16(exactly: option.number) else { return }
            let value = option.value == Array("t=$".utf8) ? Array("t=\(token)".utf8) : option.value
            request.take(number, value.span.bytes)
        }
        request.payload = message.payload
        if request.path == ["mqtt", "connection"] { hadSession = true }
        scene.server.received(request, from: endpoint, now: scene.now)
    }

    /// libcoap forgets no endpoint that is held, but its connection may end.
    private func leave(_ endpoint: EndpointID) {
        if scene.layer.held[endpoint] == 1 {
            scene.server.endpointLost(endpoint)
        } else {
            scene.server.endpointGone(endpoint)
        }
        precondition(scene.layer.held[endpoint, default: 0] == 0, "\(endpoint) is held and gone")
    }

    private mutating func publish() {
        let flags = byte()
        let connection = anotherClient()
        defer { scene.broker.disconnect(connection, reason: .normalDisconnection) }
        _ = scene.broker.connect(ConnectRequest(), on: connection)
        guard let topic = try? TopicName(Self.topics[Int(byte()) % Self.topics.count]) else { return }
        let payload = ByteBuffer(repeating: 0x61, count: Int(byte()) * 16)
        let qos = QoS(rawValue: flags & 3) ?? .atMostOnce
        let message = Message(topic: topic, payload: payload, qos: qos, retain: flags & 4 != 0)
        _ = scene.broker.publish(message, from: connection)
    }

    private mutating func takeOver() {
        let connection = anotherClient()
        _ = scene.broker.connect(ConnectRequest(clientID: byte() & 1 == 0 ? "d" : "e"), on: connection)
        scene.broker.disconnect(connection, reason: .normalDisconnection)
    }

    private func anotherClient() -> VirtualConnection {
        VirtualConnection(
            transportProtocol: .mqtt,
            remoteAddress: "test",
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
    }

    private mutating func byte() -> UInt8 { bytes.readInteger() ?? 0 }

    private mutating func confirmable() -> ConfirmableID? {
        confirmables.isEmpty ? nil : confirmables.remove(at: Int(byte()) % confirmables.count)
    }

    // MARK: What must be

    private mutating func check() {
        for sent in scene.layer.take() {
            switch sent {
            case .acknowledgement(_, nil): break
            case .acknowledgement(_, let response?): check(response)
            case .nonConfirmable(let messageID, _, let response):
                messageIDs.append(messageID)
                check(response)
            case .confirmable(let id, _, let response):
                confirmables.append(id)
                check(response)
            }
        }
        confirmables += scene.layer.pinged.map(\.0)
        scene.layer.pinged = []
        for (endpoint, count) in scene.layer.held {
            precondition(count == 0 || count == 1, "\(endpoint) is held \(count) times")
        }
    }

    private mutating func check(_ response: CoAPResponse) {
        precondition(response.code.responseClass >= 2, "\(response)")
        let room = scene.layer.isReliable ? scene.layer.largest : CoAPResponse.largestMessage
        precondition(response.size <= room, "\(response.size) bytes: \(response)")
        precondition(response.withPayload { $0.count } == response.payloadLength)
        if let block = response.block2 {
            precondition(block.allows(response.payloadLength))
        }
        if case .text(let text) = response.payload, !response.code.isError { token = text }
    }

    /// All leave, and what they had is there for others.
    private mutating func end() {
        scene.settle()
        for endpoint in Self.endpoints { leave(endpoint) }
        scene.now = scene.now + .hours(30)
        scene.settle()
        check()
        precondition(scene.server.endpointCount == 0 && scene.server.isSettled && !scene.server.hasOutstanding)
        checkRoom()
        // Nothing may be left behind: what is connected and its broker hold each other.
        leave(EndpointID(rawValue: 9))
        scene.server.shutDown()
        scene.settle()
    }

    /// Somebody new finds all the room there is.
    private func checkRoom() {
        let other = EndpointID(rawValue: 9)
        for number in 0..<2 {
            let upload = request(
                .post,
                "/ps/a",
                messageID: 1_000 + UInt16(number),
                options: [(27, [UInt8(number << 4 | 8 | 6)])],
                payload: [UInt8](repeating: 0, count: Self.uploadBytes / 2)
            )
            scene.server.received(upload, from: other, now: scene.now)
        }
        // Observations of sessions stay.
        for number in 0..<(hadSession ? 0 : Self.observations) {
            scene.receive(.get, "/ps/o\(number)", token: [UInt8(number)], observe: 0, from: other)
        }
        scene.settle()
        let answers = scene.layer.take().compactMap { sent in
            if case .acknowledgement(_, let response?) = sent { response.code } else { nil }
        }
        let registrations = hadSession ? 0 : Self.observations
        precondition(answers == [.continue, .continue] + Array(repeating: CoAPCode.content, count: registrations))
    }
}
