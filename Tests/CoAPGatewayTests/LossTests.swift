import BrokerTestSupport
import CoAPGateway
import Foundation
import MQTTCodec
import Testing

/// Three of ten datagrams are lost each way.
@Suite(.timeLimit(.minutes(60))) struct LossTests {
    /// Few in the test, 100,000 by hand.
    private static let publishes = number("SLUICE_LOSS_PUBLISHES", 300)
    private static let messages = number("SLUICE_LOSS_MESSAGES", 100)
    private static let observers = number("SLUICE_LOSS_OBSERVERS", 100)
    private static let messagesEach = number("SLUICE_LOSS_MESSAGES_EACH", 3)
    /// Confirmable messages under way to one observer.
    private static let nstart = number("SLUICE_LOSS_NSTART", 50)

    private static func number(_ name: String, _ otherwise: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? otherwise
    }

    /// A message that fails is soon noticed: its device, heard of meanwhile, gets it again.
    private static func configuration(nstart: Int) -> CoAPListener.Configuration {
        .local {
            $0.acknowledgeTimeout = 1_000
            $0.maximumRetransmissions = 1
            $0.nstart = nstart
        }
    }

    @Test("every publish at QoS 1 is carried out once, however often it and its answer are lost")
    func publishing() async throws {
        try await withGateway { gateway in
            let count = Self.publishes
            let begin = ContinuousClock.now
            let (link, sent) = try await onThread { [port = gateway.port] in
                let client = try RawClient(port: port)
                var link = LossyLink(seed: 1)
                var sent = 0
                for number in 0..<count {
                    let post = client.confirmable(Method.post, "/ps/a", payload: "\(number)")
                    var isAnswered = false
                    while !isAnswered {
                        sent += 1
                        if link.passes() { client.send(post) }
                        while !isAnswered, let answer = client.receive(within: 5) {
                            isAnswered = answer.messageID == post.messageID && link.passes()
                        }
                    }
                }
                return (link, sent)
            }
            let received = await gateway.received()
            #expect(received == UInt64(count))
            #expect(link.isLossy)
            report("\(count) publishes answered, \(received) carried out, \(sent) sent, \(link)", since: begin)
        }
    }

    @Test("one observer gets every QoS 1 message, with many under way")
    func oneObserver() async throws {
        try await withGateway(configuration: Self.configuration(nstart: Self.nstart)) { gateway in
            let begin = ContinuousClock.now
            let observer = try await onThread { [port = gateway.port] in
                let publisher = try RawClient(port: port)
                let observer = try LossyObserver(port: port, "loss", seed: 1)
                var published = 0
                while !observer.hasHeard(Self.messages) {
                    // What waits for one client has a limit.
                    while published < Self.messages, published < observer.acknowledged.count + 900 {
                        let answer = try publisher.ask(
                            publisher.confirmable(Method.post, "/ps/loss", payload: "\(published)")
                        )
                        try #require(answer.codeText == "2.04")
                        published += 1
                    }
                    observer.take(within: 10)
                }
                return observer
            }
            #expect(Set(observer.payloads).count == Self.messages)
            #expect(observer.link.isLossy)
            report("one observer, \(Self.nstart) under way: \(observer)", since: begin)
        }
    }

    @Test("observers get every QoS 1 message, in order")
    func observing() async throws {
        try await withGateway(configuration: Self.configuration(nstart: 1)) { gateway in
            let begin = ContinuousClock.now
            let payloads = (1...Self.messagesEach).map(String.init)
            let observers = try await onThread { [port = gateway.port] in
                let publisher = try RawClient(port: port)
                let observers = try (0..<Self.observers).map { number in
                    try LossyObserver(port: port, "loss/\(number)", seed: UInt64(number))
                }
                for payload in payloads {
                    for number in 0..<Self.observers {
                        _ = try publisher.ask(
                            publisher.confirmable(Method.post, "/ps/loss/\(number)", payload: payload)
                        )
                    }
                }
                LossyObserver.takeAll(observers, until: payloads.count)
                return observers
            }
            #expect(observers.allSatisfy { $0.payloads == payloads })
            report(
                "\(observers.count) observers: \(observers.reduce(0) { $0 + $1.acknowledged.count }) acknowledged, "
                    + "\(observers.reduce(0) { $0 + $1.duplicates }) duplicates",
                since: begin
            )
        }
    }

    /// Tells the figures of a run by hand.
    private func report(_ figures: String, since begin: ContinuousClock.Instant) {
        guard ProcessInfo.processInfo.environment["SLUICE_LOSS_REPORT"] != nil else { return }
        print("\(figures), in \(ContinuousClock.now - begin)")
    }

    /// What waits for sockets waits on a thread of its own: other tests need those of the pool.
    @discardableResult
    private func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
        }
    }
}

/// Loses three of ten datagrams.
private struct LossyLink: CustomStringConvertible {
    private var generator: SplitMix64
    private(set) var passed = 0
    private(set) var lost = 0

    init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    mutating func passes() -> Bool {
        let isLost = Int.random(in: 0..<10, using: &generator) < 3
        if isLost { lost += 1 } else { passed += 1 }
        return !isLost
    }

    /// Whether it has lost about as many as it should.
    var isLossy: Bool { lost * 5 > passed + lost }

    var description: String { "\(lost) of \(passed + lost) datagrams lost" }
}

/// A device behind such a link, with a session and heartbeats.
private final class LossyObserver: CustomStringConvertible, @unchecked Sendable {
    // Sendable: the test looks at it when the thread that made it has ended.

    private let client: RawClient
    private let session: String
    private(set) var link: LossyLink
    /// Each payload once, as it came first.
    private(set) var payloads: [String] = []
    private(set) var acknowledged: Set<String> = []
    /// Messages that came again under another Message ID.
    private(set) var duplicates = 0
    private var known: Set<String> = []
    /// The payload last seen under a Message ID.
    private var seen: [UInt16: String] = [:]
    private var beatAt = ContinuousClock.now

    init(port: Int, _ topic: String, seed: UInt64) throws {
        client = try RawClient(port: port)
        link = LossyLink(seed: seed &+ 1_000)
        let connect = "/mqtt/connection?c=\(seed)&clean=0&ka=0"
        let connected = try client.ask(client.confirmable(Method.post, connect))
        session = "c=\(seed)&t=\(connected.text)"
        let answer = try client.ask(client.confirmable(Method.get, "/ps/\(topic)?q=1&\(session)").with(6, []))
        try #require(answer.observe != nil)
    }

    /// Whether so many messages have come and their acknowledgements have gone through.
    func hasHeard(_ count: Int) -> Bool { acknowledged.count >= count }

    /// Takes in what comes within so many milliseconds, acknowledges it, and says every second that it is there.
    func take(within milliseconds: Int32) {
        if beatAt <= .now {
            beatAt = .now + .seconds(1)
            if link.passes() {
                client.send(client.nonConfirmable(Method.put, "/mqtt/connection?\(session)", token: [9]))
            }
        }
        var patience = milliseconds
        while let message = client.receive(within: patience) {
            patience = 0
            guard link.passes(), message.kind == .confirmable else { continue }
            if known.insert(message.text).inserted {
                payloads.append(message.text)
            } else if seen[message.messageID] != message.text {
                duplicates += 1
            }
            seen[message.messageID] = message.text
            guard link.passes() else { continue }
            client.acknowledge(message)
            acknowledged.insert(message.text)
        }
    }

    /// Goes on until all of them have heard so many messages.
    static func takeAll(_ observers: [LossyObserver], until count: Int) {
        var left = observers
        while true {
            left.removeAll { $0.hasHeard(count) }
            guard !left.isEmpty else { return }
            _ = RawClient.ready(of: left.map(\.client), within: 20)
            for observer in left { observer.take(within: 0) }
        }
    }

    var description: String {
        "\(payloads.count) delivered, \(acknowledged.count) acknowledged, \(duplicates) duplicates, \(link)"
    }
}
