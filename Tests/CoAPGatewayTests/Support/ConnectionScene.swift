import CoAPGateway
import NIOCore

/// A connection without a socket, and what comes of what is said to it.
final class ConnectionScene {
    let connection: Connection
    private(set) var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private(set) var requests: [CoAPRequest] = []
    private(set) var confirmed: [ConfirmableID] = []

    init(_ change: (inout Connection.Bounds) -> Void = { _ in }) {
        var bounds = Connection.Bounds(largestMessage: 100_000)
        change(&bounds)
        connection = Connection(id: EndpointID(rawValue: 2), bounds: bounds, now: now)
    }

    /// Both sides have said what they can.
    func greet() {
        take(RawMessage(.confirmable, SignalCode.csm, 0))
        _ = sent()
    }

    func greeted() -> ConnectionScene {
        greet()
        return self
    }

    func take(_ message: RawMessage) { take(message.frame) }

    func take(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { connection.append($0) }
        goOn()
    }

    func goOn() {
        connection.goOn(now: now) {
            requests.append($0)
            // Its event has been dealt with.
            connection.holds -= 1
        } confirmed: {
            confirmed.append($0)
        }
    }

    /// Requests that have come since the last time.
    func takeRequests() -> [CoAPRequest] {
        defer { requests = [] }
        return requests
    }

    func get(_ token: UInt8) { take(RawMessage(.confirmable, Method.get, 0, token: [token]).to("/ps/a")) }

    func answer(_ token: UInt8, _ words: String = "") {
        guard let request = requests.last(where: { $0.token == Token([token]) }) else { return }
        var response = CoAPResponse(.content)
        response.payload = .text(words)
        connection.answer(request.messageID, request.token, response, now: now)
    }

    func pass(_ time: TimeAmount) {
        now = now + time
        connection.expire(now: now)
    }

    /// Messages that were sent.
    func sent() -> [RawMessage] {
        var messages: [RawMessage] = []
        while !connection.hasSaidAll {
            var buffer = ByteBuffer()
            connection.fill(&buffer)
            var bytes = Array(buffer.readableBytesView)
            while let (message, length) = RawMessage.first(in: bytes) {
                messages.append(message)
                bytes.removeFirst(length)
            }
            precondition(bytes.isEmpty, "not a message: \(bytes)")
        }
        return messages
    }
}
