import BrokerCore
import HTTPGateway
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

    @Test("a repeat gets the first answer, within the window")
    func window() {
        let keys = IdempotencyKeys(window: .seconds(10), maximum: 10, maximumBytes: 1_000)
        #expect(keys.begin(key("a"), fingerprint: 1, at: start) == .proceed)
        #expect(keys.begin(key("a"), fingerprint: 1, at: start) == .inProgress)
        keys.finish(key("a"), answer("1"))
        #expect(keys.begin(key("a"), fingerprint: 1, at: start + .seconds(9)) == .answered(answer("1")))
        #expect(keys.begin(key("a"), fingerprint: 2, at: start + .seconds(9)) == .reused)
        #expect(keys.begin(key("b"), fingerprint: 1, at: start + .seconds(9)) == .proceed)
        #expect(keys.begin(key("a"), fingerprint: 2, at: start + .seconds(10)) == .proceed)
    }

    @Test("what was refused may be tried again")
    func refused() {
        let keys = IdempotencyKeys(window: .seconds(10), maximum: 10, maximumBytes: 1_000)
        #expect(keys.begin(key("a"), fingerprint: 1, at: start) == .proceed)
        keys.finish(key("a"), nil)
        #expect(keys.begin(key("a"), fingerprint: 2, at: start) == .proceed)
    }

    @Test("the oldest gives way when there are too many, or their answers are too large")
    func bounds() {
        let keys = IdempotencyKeys(window: .seconds(10), maximum: 2, maximumBytes: 10)
        for text in ["a", "b", "c"] {
            #expect(keys.begin(key(text), fingerprint: 1, at: start) == .proceed)
            keys.finish(key(text), answer(text))
        }
        #expect(keys.begin(key("b"), fingerprint: 1, at: start) != .inProgress)
        #expect(keys.begin(key("a"), fingerprint: 1, at: start) == .proceed)
        keys.finish(key("a"), answer("more than ten bytes"))
        #expect(keys.begin(key("a"), fingerprint: 1, at: start) == .proceed)
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
