import BrokerCore
import BrokerTestSupport
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Arbitrary requests, answers and silences of a few endpoints that share a few sessions.
@Suite struct HostileRequestTests {
    @Test(
        "whatever peers do, each confirmable request is answered once, and nothing is held that nobody needs",
        arguments: 0..<30
    )
    func anything(seed: UInt64) {
        var script = HostileScript(seed: seed)
        for _ in 0..<400 { script.step() }
        script.finish()
        #expect(script.answeredTwice == 0)
        #expect(script.unanswered.isEmpty)
        #expect(script.scene.layer.held.values.allSatisfy { $0 == 0 })
    }
}

private struct HostileScript {
    private static let paths = [
        "/ps/a", "/ps/a/b", "/ps/+", "/ps/%23", "/r/a", "/ps", "/ps/$share/g/a", "/ps//", "/mqtt/connection", "/x",
        "/.well-known/core", "/ps/..", "/ps/\u{e9}",
    ]
    private static let arguments = [
        "q=0", "q=1", "q=2", "q=3", "r=1", "expiry=1", "expiry=x", "nl=1", "rh=2", "c=d", "c=e", "u=x", "dl=1",
        "wait=2",
        "id=1", "id=2", "obs=state", "unsub=1", "clean=0", "clean=1", "se=5", "ka=1", "ka=0", "will-topic=a",
        "will-topic=+", "will-qos=1", "topic=a", "t=wrong", "rt=core.*", "",
    ]

    let scene = ServerScene {
        $0.receiveMaximum = 4
        $0.sessions = 2
        $0.observationsPerEndpoint = 3
        $0.clientsPerEndpoint = 2
        $0.asksForEcho = false
    }
    /// Message IDs of requests, and who waits for their answers.
    private(set) var unanswered: [UInt16: EndpointID] = [:]
    private(set) var answeredTwice = 0
    private var generator: SplitMix64
    private var endpoints = (1...3).map { EndpointID(rawValue: $0) }
    private var lastEndpoint: UInt = 3
    private var confirmables: [ConfirmableID] = []
    private var nonConfirmables: [UInt16] = []
    private var tokens: [String] = []

    init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    private mutating func one<Value>(_ values: [Value]) -> Value? { values.randomElement(using: &generator) }

    mutating func step() {
        let endpoint = endpoints[Int.random(in: 0..<endpoints.count, using: &generator)]
        switch Int.random(in: 0..<12, using: &generator) {
        case 0..<6: ask(endpoint)
        case 6: if let id = one(confirmables) { scene.server.acknowledged(id, now: scene.now) }
        case 7:
            if let id = one(confirmables) {
                scene.server.failed(id, Bool.random(using: &generator) ? .reset : .unreachable)
            }
        case 8: if let id = one(nonConfirmables) { scene.server.reset(id, from: endpoint) }
        case 9: scene.now = scene.now + .milliseconds(Int64.random(in: 0..<2_000, using: &generator))
        case 10: leave(endpoint)
        default:
            _ = try? scene.publish(
                one(["a", "a/b"]) ?? "a",
                "x",
                qos: one([.atMostOnce, .exactlyOnce]) ?? .atMostOnce
            )
        }
        scene.layer.sendFailure = one([nil, nil, nil, .busy, .unreachable, .impossible]) ?? nil
        if Bool.random(using: &generator) { settle() }
    }

    private mutating func ask(_ endpoint: EndpointID) {
        var arguments = (0..<Int.random(in: 0..<4, using: &generator)).compactMap { _ in one(Self.arguments) }
        if let token = one(tokens), Bool.random(using: &generator) { arguments.append(token) }
        let query = arguments.isEmpty ? "" : "?" + arguments.joined(separator: "&")
        let isConfirmable = Int.random(in: 0..<4, using: &generator) > 0
        let messageID = scene.receive(
            CoAPCode(rawValue: UInt8.random(in: 1...5, using: &generator)),
            (one(Self.paths) ?? "/ps/a") + query,
            confirmable: isConfirmable,
            token: [UInt8.random(in: 0..<4, using: &generator)],
            observe: one([nil, 0, 1, 7]) ?? nil,
            payload: one(["", "x"]) ?? "",
            from: endpoint
        )
        if isConfirmable { unanswered[messageID] = endpoint }
    }

    private mutating func leave(_ endpoint: EndpointID) {
        settle()
        if Bool.random(using: &generator) {
            scene.server.endpointLost(endpoint)
        } else {
            // The message layer forgets only what it is not asked to hold.
            guard scene.layer.held[endpoint] ?? 0 == 0 else { return }
            scene.server.endpointGone(endpoint)
        }
        unanswered = unanswered.filter { $0.value != endpoint }
        lastEndpoint += 1
        endpoints.removeAll { $0 == endpoint }
        endpoints.append(EndpointID(rawValue: lastEndpoint))
    }

    private mutating func settle() {
        scene.settle()
        for sent in scene.layer.take() {
            switch sent {
            case .acknowledgement(let messageID, let response):
                if unanswered.removeValue(forKey: messageID) == nil { answeredTwice += 1 }
                if response?.code == .created || response?.code == .changed, let text = response?.text, text.count > 9 {
                    tokens.append("t=" + text)
                }
            case .confirmable(let id, _, _): confirmables.append(id)
            case .nonConfirmable(let messageID, _, _): nonConfirmables.append(messageID)
            }
        }
    }

    mutating func finish() {
        settle()
        // Whoever waits for a message has waited long enough.
        scene.now = scene.now + .seconds(100_000)
        settle()
        scene.server.shutDown()
        settle()
    }
}
