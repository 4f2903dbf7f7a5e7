import BrokerTestSupport
import CoAPGateway
import Foundation
import MQTTCodec
import Testing

/// Three of ten datagrams are lost each way.
@Suite(.timeLimit(.minutes(10))) struct LossTests {
    /// 100 in the test, thousands by hand.
    private static let observers =
        ProcessInfo.processInfo.environment["SLUICE_LOSS_OBSERVERS"].flatMap { Int($0) } ?? 100
    private static let messagesEach =
        ProcessInfo.processInfo.environment["SLUICE_LOSS_MESSAGES"].flatMap { Int($0) } ?? 3

    @Test("every publish at QoS 1 is carried out once, however often it and its answer are lost")
    func publishing() async throws {
        try await withGateway { gateway in
            let count = Self.observers * Self.messagesEach
            let lost = try await onThread { [port = gateway.port] in
                let client = try RawClient(port: port)
                var link = LossyLink(seed: 1)
                for number in 0..<count {
                    let post = client.confirmable(Method.post, "/ps/a", payload: "\(number)")
                    var isAnswered = false
                    while !isAnswered {
                        if link.passes() { client.send(post) }
                        while let answer = client.receive(within: 20) {
                            if link.passes(), answer.messageID == post.messageID { isAnswered = true }
                        }
                    }
                    link.cameThrough()
                }
                return link.lost
            }
            #expect(await gateway.received() == UInt64(count))
            #expect(lost > count / 4)
        }
    }

    @Test("observers get every QoS 1 message, in order")
    func observing() async throws {
        // One attempt in two succeeds; a dozen of them are enough for everybody.
        let configuration = CoAPListener.Configuration.local {
            $0.acknowledgeTimeout = 1_000
            $0.maximumRetransmissions = 12
        }
        try await withGateway(configuration: configuration) { gateway in
            let crowd = Crowd()
            try await onThread { [port = gateway.port] in
                for number in 0..<Self.observers {
                    let client = try RawClient(port: port)
                    crowd.observers.append(try LossyObserver(client, "loss/\(number)", seed: UInt64(number)))
                }
            }
            let payloads = (1...Self.messagesEach).map(String.init)
            for number in 0..<Self.observers {
                try await gateway.publish("loss/\(number)", payloads, qos: .atLeastOnce)
            }
            try await onThread {
                while crowd.observers.contains(where: { $0.isWaiting(for: payloads.count) }) {
                    for place in crowd.observers.indices { crowd.observers[place].take() }
                }
            }
            #expect(crowd.observers.allSatisfy { $0.payloads == payloads })
            #expect(crowd.observers.reduce(0) { $0 + $1.link.lost } > Self.observers * Self.messagesEach / 4)
        }
    }

    /// What waits for sockets waits on a thread of its own: other tests need those of the pool.
    @discardableResult
    private func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
        }
    }
}

/// All observers.
private final class Crowd: @unchecked Sendable {
    // Sendable: the test hands it from one thread to the next, and waits for each.

    var observers: [LossyObserver] = []
}

/// Loses three of ten datagrams each way, but no more than three of them for one message: who waits twice as long each
/// time would wait for minutes.
private struct LossyLink {
    private var generator: SplitMix64
    /// Since the last message came through and back.
    private var row = 0
    private(set) var lost = 0

    init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    mutating func passes() -> Bool {
        guard row < 3, Int.random(in: 0..<10, using: &generator) < 3 else { return true }
        row += 1
        lost += 1
        return false
    }

    mutating func cameThrough() { row = 0 }
}

/// An observer behind such a link.
private struct LossyObserver {
    private let client: RawClient
    var link: LossyLink
    private(set) var payloads: [String] = []
    private var seen: Set<UInt16> = []
    private var acknowledged: Set<UInt16> = []

    init(_ client: RawClient, _ topic: String, seed: UInt64) throws {
        self.client = client
        link = LossyLink(seed: seed &+ 1_000)
        let answer = try client.ask(client.confirmable(Method.get, "/ps/\(topic)?q=1").with(6, []))
        try #require(answer.observe != nil)
    }

    func isWaiting(for count: Int) -> Bool { payloads.count < count || acknowledged.count < count }

    /// Takes in what has come, and acknowledges it.
    mutating func take() {
        while let message = client.receive(within: 1) {
            guard message.kind == .confirmable else { continue }
            guard link.passes() else { continue }
            if seen.insert(message.messageID).inserted { payloads.append(message.text) }
            guard link.passes() else { continue }
            client.acknowledge(message)
            acknowledged.insert(message.messageID)
            link.cameThrough()
        }
    }
}
