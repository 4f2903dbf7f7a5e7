import BrokerCore
import HTTPGateway
import HTTPTestSupport
import HTTPTypes
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct IdempotencyTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func key(_ text: String) -> IdempotencyKeys.Key {
        .init(owner: RequestOwner(userName: nil, by: .nothing), clientID: "", key: text)
    }

    private func answer(_ text: String) -> IdempotencyKeys.Answer {
        .init(status: .ok, fields: [:], body: ByteBuffer(string: text))
    }

    private func keys(_ maximum: Int = 10, bytes: Int = 100_000) -> IdempotencyKeys {
        IdempotencyKeys(window: .seconds(10), Quota.Limit(total: maximum), bytes: Quota.Limit(total: bytes))
    }

    private func begin(
        _ keys: IdempotencyKeys,
        _ text: String,
        _ fingerprint: UInt64 = 1,
        by holder: Holder = .nobody,
        after seconds: Int64 = 0
    ) -> IdempotencyKeys.Verdict {
        keys.begin(key(text), fingerprint: fingerprint, for: holder, at: start + .seconds(seconds))
    }

    @Test("a repeat gets the first answer, within the window")
    func window() {
        let keys = keys()
        #expect(begin(keys, "a") == .proceed)
        #expect(begin(keys, "a") == .inProgress)
        keys.finish(key("a"), answer("1"))
        #expect(begin(keys, "a", after: 9) == .answered(answer("1")))
        #expect(begin(keys, "a", 2, after: 9) == .reused)
        #expect(begin(keys, "b", after: 9) == .proceed)
        #expect(begin(keys, "a", 2, after: 10) == .proceed)
    }

    @Test("what was refused may be tried again, and has no place among what is remembered")
    func refused() {
        let keys = keys(2)
        #expect(begin(keys, "a") == .proceed)
        keys.finish(key("a"), nil)
        #expect(keys.bytes == 0)
        #expect(begin(keys, "a", 2) == .proceed)
        #expect(begin(keys, "b") == .proceed)
        keys.finish(key("b"), answer("b"))
        #expect(begin(keys, "c") == .proceed)
        // It is under way since before the others came.
        #expect(begin(keys, "a", 2) == .inProgress)
        keys.finish(key("a"), answer("a"))
        #expect(begin(keys, "a", 2) == .answered(answer("a")))
    }

    @Test("the oldest gives way when there are too many, or they take too many bytes: identifiers and fields, too")
    func bounds() {
        let few = keys(2)
        for text in ["a", "b", "c"] {
            #expect(begin(few, text) == .proceed)
            few.finish(key(text), answer(text))
        }
        #expect(begin(few, "c") == .answered(answer("c")))
        #expect(begin(few, "a") == .proceed)
        let small = keys(1_000, bytes: 50_000)
        for number in 0..<100 {
            let long = IdempotencyKeys.Key(
                owner: RequestOwner(userName: nil, by: .nothing),
                clientID: String(repeating: "c", count: 15_000),
                key: "\(number)"
            )
            #expect(small.begin(long, fingerprint: 1, for: .nobody, at: start) == .proceed)
            small.finish(long, answer(""))
            #expect(small.bytes <= 50_000)
        }
    }

    @Test("no address makes the broker forget the keys of others")
    func shares() {
        let keys = keys(10)
        let other = Holder(network: ClientNetwork("192.0.2.2"))
        #expect(begin(keys, "other", by: other) == .proceed)
        keys.finish(key("other"), answer("other"))
        let crowd = Holder(network: ClientNetwork("192.0.2.1"))
        for number in 0..<100 {
            #expect(begin(keys, "\(number)", by: crowd) == .proceed)
            keys.finish(key("\(number)"), answer("x"))
        }
        #expect(begin(keys, "other", by: other) == .answered(answer("other")))
        #expect(begin(keys, "99", by: crowd) == .answered(answer("x")))
        #expect(begin(keys, "90", by: crowd) == .proceed)
    }

    @Test("a publish with the same Idempotency-Key is published once")
    func publish() async throws {
        try await TestServer.run { server in
            let fields = [#"Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324""#]
            let first = try await server.request("POST", "/publish?topic=a", fields, body: "x")
            let again = try await server.request("POST", "/publish?topic=a", fields, body: "x")
            #expect(first.status == 200)
            #expect(again.body == first.body)
            #expect(first.fields["idempotency-replayed"] == nil)
            #expect(again.fields["idempotency-replayed"] == "true")
            #expect(await server.onCore { $0.statistics.published } == 1)
            let other = try await server.request("POST", "/publish?topic=a", fields, body: "y")
            #expect(other.status == 422)
            let bad = try await server.request("POST", "/publish?topic=a/%23", ["Idempotency-Key: k"], body: "x")
            #expect(bad.status == 400)
            #expect(try await server.request("PUT", "/v1/topics/a", ["Idempotency-Key: k"], body: "x").status == 200)
            #expect(try await server.request("PUT", "/v1/topics/a", ["Idempotency-Key: \"\""], body: "x").status == 400)
        }
    }

    @Test("a repeat is for those only who could publish it themselves")
    func authenticated() async throws {
        let access = AccessTable(["ann": "secret", "bob": "secret"], allowsAnonymous: false)
        try await TestServer.run(access: access) { server in
            let field = "Idempotency-Key: k"
            let (ann, bob) = ("Authorization: Basic YW5uOnNlY3JldA==", "Authorization: Basic Ym9iOnNlY3JldA==")
            let first = try await server.request("POST", "/publish?topic=open/a", [field, ann], body: "x")
            #expect(first.status == 200)
            let wrong = "Authorization: Basic YW5uOndyb25n"
            for stranger in [[field], [field, wrong], [field, "Authorization: Bearer nonsense"]] {
                let answer = try await server.request("POST", "/publish?topic=open/a", stranger, body: "x")
                #expect(answer.status == 401)
            }
            let again = try await server.request("POST", "/publish?topic=open/a", [field, ann], body: "x")
            #expect(again.fields["idempotency-replayed"] == "true" && again.body == first.body)
            let other = try await server.request("POST", "/publish?topic=open/a", [field, bob], body: "x")
            #expect(other.status == 200 && other.fields["idempotency-replayed"] == nil)
            #expect(await server.onCore { $0.statistics.published } == 2)
        }
    }
}
