import CoAPGateway
import NIOCore

/// Reads arbitrary bytes as a schedule of what happens to a connection, and as what its peer sends.
///
/// Whatever that is: what we send are whole messages, the first one a CSM, of Abort and Release none but the last; each
/// request is answered once; what is kept is bounded; after the end nothing is.
struct ConnectionScript {
    private static let largest = 2_048
    private static let output = 4_096

    private var bytes: ArraySlice<UInt8>
    private let scene: ConnectionScene
    private var open: [CoAPRequest] = []
    private var lastPing: UInt = 0
    private var isFirst = true
    private var saidLast = false

    init(_ bytes: some Collection<UInt8>) {
        self.bytes = Array(bytes)[...]
        scene = ConnectionScene {
            $0.largestMessage = Self.largest
            $0.output = Self.output
            $0.unanswered = 8
        }
    }

    mutating func run() {
        if byte() & 1 == 0 {
            scene.greet()
            isFirst = false
        }
        while let step = bytes.popFirst() {
            act(step)
            checkBounds()
        }
        end()
    }

    private mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }

    private mutating func act(_ step: UInt8) {
        switch step & 0x0f {
        case 0..<6: feed(Int(byte()))
        case 6: feed(Int(byte()) << 3)
        case 7: answer(first: true)
        case 8: answer(first: false)
        case 9:
            guard scene.connection.hasRoom() else { break }
            var response = CoAPResponse(.content)
            response.payload = .text(String(repeating: "n", count: Int(byte()) * 8))
            _ = scene.connection.send(response, Token([9]))
        case 10:
            guard scene.connection.hasRoom() else { break }
            lastPing += 1
            scene.connection.ping(ConfirmableID(rawValue: lastPing), now: scene.now)
        case 11: scene.pass(.seconds(Int64(byte() >> 2)))
        case 12, 13: for message in scene.sent() { check(message) }
        case 14: scene.goOn()
        default: if byte() == 0 { scene.connection.leave(now: scene.now) }
        }
        open += scene.takeRequests()
    }

    private mutating func feed(_ count: Int) {
        let fed = Array(bytes.prefix(count))
        bytes = bytes.dropFirst(count)
        // Else nobody reads.
        if scene.connection.isReading || scene.connection.stage == .over { scene.take(fed) }
    }

    private mutating func answer(first: Bool) {
        guard !open.isEmpty else { return }
        let request = first ? open.removeFirst() : open.removeLast()
        var response = CoAPResponse(.content)
        response.payload = .text(String(repeating: "x", count: Int(byte()) * 4))
        scene.connection.answer(request.messageID, request.token, response, now: scene.now)
    }

    private mutating func check(_ message: RawMessage) {
        precondition(!saidLast, "\(message) after the last word")
        precondition((message.code == SignalCode.csm) == isFirst || message.code == SignalCode.abort, "\(message)")
        isFirst = false
        saidLast = message.code == SignalCode.abort || message.code == SignalCode.release
        precondition(message.code >> 5 >= 2, "\(message) is a request")
    }

    private func checkBounds() {
        // A message and what came with it, in memory that grows to the next power of two; what may wait, and the answers to
        // what was asked before.
        precondition(scene.connection.footprint <= 8_192 + Self.output + 9 * 3_200)
        precondition(open.count <= 8, "more is under way than may be")
    }

    private mutating func end() {
        while !open.isEmpty { answer(first: true) }
        for message in scene.sent() { check(message) }
        scene.goOn()
        open += scene.takeRequests()
        while !open.isEmpty { answer(first: true) }
        scene.connection.leave(now: scene.now)
        scene.goOn()
        for message in scene.sent() { check(message) }
        scene.pass(.seconds(100))
        for message in scene.sent() { check(message) }
        precondition(scene.connection.stage == .over && scene.connection.hasSaidAll)
        precondition(scene.connection.footprint == 0, "\(scene.connection.footprint) bytes are left")
        precondition(scene.connection.holds == 0)
    }
}
