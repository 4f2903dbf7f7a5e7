import BrokerCore
import CoAPGateway
import CoreRuntime
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import Testing

@Suite("Credentials that take their time to be looked at", .timeLimit(.minutes(1)))
struct PendingCredentialsTests {
    @Test("requests wait for one look, and are all answered", arguments: [true, false])
    func wait(isGood: Bool) async throws {
        let guardian = SlowGuardian()
        try await withGateway(authenticator: Gate(guardian)) { gateway in
            let client = try gateway.client()
            for token in 1...3 as ClosedRange<UInt8> {
                client.send(client.nonConfirmable(Method.post, "/ps/a?u=alice&p=rabbit", token: [token], payload: "x"))
            }
            // The ping's answer says that the requests have been read.
            #expect(try client.drain().isEmpty)
            await guardian.asked()
            guardian.answer(isGood ? .accepted(userName: "alice") : .badCredentials)
            let answers = try (0..<3).map { _ in try client.expect() }
            #expect(Set(answers.map(\.token)) == [[1], [2], [3]])
            #expect(answers.allSatisfy { $0.codeText == (isGood ? "2.04" : "4.01") })
            #expect(await gateway.received() == (isGood ? 3 : 0))
            if isGood {
                let later = try client.ask(client.confirmable(Method.post, "/ps/a?u=alice&p=rabbit", payload: "x"))
                #expect(later.codeText == "2.04")
                #expect(guardian.count == 1)
            }
        }
    }

    @Test("a key that nobody knows is refused, where anybody is let in")
    func mistypedKey() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            for (query, code) in [("", "2.04"), ("?p=slk_mistyped", "4.01"), ("?p=", "4.01"), ("?u=ann", "2.04")] {
                let answer = try client.ask(client.confirmable(Method.post, "/ps/a\(query)", payload: "x"))
                #expect(answer.codeText == code, "\(query)")
            }
        }
    }

    @Test("a client that leaves before the look is over takes nobody's place")
    func leave() async throws {
        let guardian = SlowGuardian()
        let configuration = CoAPListener.Configuration.local {
            $0.transport = .tcp
            $0.pendingRequests = 1
        }
        try await withGateway(configuration: configuration, authenticator: Gate(guardian)) { gateway in
            let post = RawMessage(.confirmable, Method.post, 0, token: [1], payload: "x").to("/ps/a?u=alice&p=rabbit")
            do {
                let first = try RawConnection(port: gateway.port)
                first.send(post.frame)
                await guardian.asked()
            }
            let second = try RawConnection(port: gateway.port)
            guardian.answer(.accepted(userName: "alice"))
            // Until the first one's end has been read and dealt with, there is no place for this one.
            let deadline = NIODeadline.now() + .seconds(20)
            var code = "5.03"
            while code == "5.03", NIODeadline.now() < deadline {
                second.send(post.frame)
                code = try second.expect().codeText
            }
            #expect(code == "2.04")
        }
    }
}

/// Answers every question the same, when the test says so.
private final class SlowGuardian: Sendable {
    private let pending = PendingAuthentication()
    private let questions = NIOLockedValueBox(0)
    private let firstQuestion: AsyncStream<Void>
    private let tellFirstQuestion: AsyncStream<Void>.Continuation

    init() { (firstQuestion, tellFirstQuestion) = AsyncStream.makeStream() }

    var count: Int { questions.withLockedValue { $0 } }

    func ask() -> Authentication {
        questions.withLockedValue { $0 += 1 }
        tellFirstQuestion.yield()
        return .pending(pending)
    }

    /// Waits until somebody has asked.
    func asked() async {
        for await _ in firstQuestion { return }
    }

    func answer(_ authentication: Authentication) { pending.answer(authentication) }
}

private final class Gate: Authenticator {
    private let guardian: SlowGuardian

    init(_ guardian: SlowGuardian) { self.guardian = guardian }

    func authenticate(_ credentials: Credentials) -> Authentication { guardian.ask() }
}
