import BrokerCore
import BrokerTestSupport
import CoAPGateway
import NIOCore

/// Datagrams in the clear, from four endpoints, and what the server makes of them.
///
/// What libcoap reads is what the tests read by themselves; what is sent fits into a datagram and is read again; when all are
/// gone nothing is left.
struct ClearScript {
    private var input: Input
    private let scene = ServerScene {
        $0.rememberedMessages = 4
        $0.pendingRequests = 8
        $0.observationsPerEndpoint = 4
        $0.sessions = 2
        $0.uploadBytes = 2_048
        $0.notificationQueue = 4
    }
    private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: CoAPResponse.largestMessage, alignment: 8)
    private var confirmables: [ConfirmableID] = []

    init(_ input: Input) { self.input = input }

    consuming func run() {
        let endpoints = (1...4).map { EndpointID(rawValue: $0) }
        while !input.isEmpty {
            let how = input.byte()
            take(input.chunk(), isWhole: how & 0x1c != 0, from: endpoints[Int(how & 3)])
            if how & 0x40 != 0 { scene.now = scene.now + .milliseconds(400) }
            scene.settle()
            checkSent()
        }
        for endpoint in endpoints {
            if scene.layer.held[endpoint] == 1 {
                scene.server.endpointLost(endpoint)
            } else {
                scene.server.endpointGone(endpoint)
            }
        }
        scene.now = scene.now + .hours(30)
        scene.settle()
        precondition(scene.server.endpointCount == 0 && scene.server.isSettled && !scene.server.hasOutstanding)
        // What is connected and its broker hold each other.
        scene.server.shutDown()
        scene.settle()
        room.deallocate()
    }

    private mutating func take(_ datagram: [UInt8], isWhole: Bool, from endpoint: EndpointID) {
        datagram.withUnsafeBytes { bytes in
            if let message = WireMessage(datagram: bytes) { compare(message, RawMessage(datagram)) }
            switch IncomingDatagram(bytes, isWhole: isWhole) {
            case .request(let request): scene.server.received(request, from: endpoint, now: scene.now)
            case .acknowledgement:
                if let id = confirmables.popLast() { scene.server.acknowledged(id, now: scene.now) }
            case .reset(let messageID):
                if let id = confirmables.popLast() {
                    scene.server.failed(id, .reset)
                } else {
                    scene.server.reset(messageID, from: endpoint)
                }
            case .rejected, .tooLarge, .ignored: break
            }
        }
    }

    private func compare(_ message: borrowing WireMessage, _ expected: RawMessage?) {
        guard let expected else { return }
        precondition(message.code.rawValue == expected.code && message.messageID == expected.messageID)
        precondition(message.token == Token(expected.token))
        precondition(message.withPayload { [UInt8]($0) } == expected.payload)
        var place = 0
        message.forEachOption { number, value in
            precondition(place < expected.options.count && expected.options[place].number == Int(number))
            precondition(value.withUnsafeBytes { [UInt8]($0) } == expected.options[place].value)
            place += 1
            return true
        }
        precondition(place == expected.options.count, "options are missing")
    }

    private mutating func checkSent() {
        for sent in scene.layer.take() {
            switch sent {
            case .acknowledgement(_, nil): break
            case .acknowledgement(_, let response?): check(response, Token([1, 2, 3, 4, 5, 6, 7, 8]))
            case .nonConfirmable(_, let token, let response): check(response, token)
            case .confirmable(let id, let token, let response):
                confirmables.append(id)
                check(response, token)
            }
        }
        confirmables += scene.layer.pinged.map(\.0)
        scene.layer.pinged = []
    }

    private func check(_ response: CoAPResponse, _ token: Token) {
        var options = OptionWriter()
        response.write(to: &options)
        let length = response.withPayload {
            WireMessage.write(.confirmable, response.code, messageID: 9, token, options, payload: $0, into: room)
        }
        guard let length else { preconditionFailure("\(response) does not fit") }
        let bytes = UnsafeRawBufferPointer(rebasing: room[..<length])
        guard let message = WireMessage(datagram: bytes), let expected = RawMessage([UInt8](bytes)) else {
            preconditionFailure("\(response) can't be read")
        }
        compare(message, expected)
    }
}
