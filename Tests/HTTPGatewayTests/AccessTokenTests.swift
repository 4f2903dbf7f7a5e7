import BrokerCore
import HTTPGateway
import HTTPTestSupport
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct AccessTokenTests {
    private static let ann = "Authorization: Basic YW5uOnNlY3JldA=="
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func grant(_ seconds: Int64) -> AccessTokens.Grant {
        AccessTokens.Grant(credentials: nil, clientID: nil, expiresAt: start + .seconds(seconds))
    }

    private func token(_ answer: Answer) throws -> String {
        try String(#require(answer.body.firstMatch(of: /"access_token":"([0-9a-f]+)"/)?.output.1))
    }

    private func tokens(_ maximum: Int, bytes: Int = 100_000) -> AccessTokens {
        AccessTokens(Quota.Limit(total: maximum), bytes: Quota.Limit(total: bytes))
    }

    @Test("a token is good until its time is over, or it is revoked")
    func lifetime() throws {
        let tokens = tokens(10)
        let short = try tokens.issue(grant(10), to: .nobody, at: start).get()
        let long = try tokens.issue(grant(20), to: .nobody, at: start).get()
        #expect(short != long)
        #expect(tokens.grant(of: short, at: start + .seconds(9)) == grant(10))
        #expect(tokens.grant(of: short, at: start + .seconds(10)) == nil)
        #expect(tokens.grant(of: long, at: start + .seconds(10)) == grant(20))
        tokens.revoke(long)
        #expect(tokens.grant(of: long, at: start + .seconds(10)) == nil)
        #expect(tokens.grant(of: "", at: start) == nil)
    }

    @Test("there is room for so many, and those whose time is over make some, revoked ones included")
    func bound() throws {
        let tokens = tokens(2)
        _ = try tokens.issue(grant(10), to: .nobody, at: start).get()
        let second = try tokens.issue(grant(20), to: .nobody, at: start).get()
        #expect(throws: RefusedByQuota.self) { try tokens.issue(grant(20), to: .nobody, at: start + .seconds(9)).get() }
        _ = try tokens.issue(grant(20), to: .nobody, at: start + .seconds(10)).get()
        #expect(tokens.count == 2)
        for _ in 0..<1_000 {
            tokens.revoke(second)
            tokens.revoke(try tokens.issue(grant(20), to: .nobody, at: start + .seconds(10)).get())
        }
        #expect(tokens.count == 1)
    }

    @Test("one address and one user have half of them, and large ones count by their bytes")
    func shares() throws {
        let tokens = tokens(4, bytes: 20_000)
        let crowd = Holder(network: ClientNetwork("192.0.2.1"))
        for _ in 0..<2 { _ = try tokens.issue(grant(10), to: crowd, at: start).get() }
        let refused = #expect(throws: RefusedByQuota.self) { try tokens.issue(grant(10), to: crowd, at: start).get() }
        #expect(refused?.refusal == .address)
        let ann = Holder(network: ClientNetwork("192.0.2.2"), userName: "ann")
        let large = AccessTokens.Grant(
            credentials: nil,
            clientID: String(repeating: "c", count: 15_000),
            expiresAt: start + .seconds(10)
        )
        #expect(throws: RefusedByQuota.self) { try tokens.issue(large, to: ann, at: start).get() }
        _ = try tokens.issue(grant(10), to: ann, at: start).get()
    }

    @Test("a token stands for the credentials it was given for: in a header, and for streams in the query")
    func use() async throws {
        try await TestServer.run(access: AccessTable(["ann": "secret"], allowsAnonymous: false)) { server in
            let answer = try await server.request("POST", "/v1/token?expires_in=60", [Self.ann])
            #expect(answer.status == 200)
            #expect(answer.fields["cache-control"] == "no-store")
            #expect(answer.body.contains(#""expires_in":60"#) && answer.body.contains(#""token_type":"Bearer""#))
            let token = try token(answer)
            let bearer = "Authorization: Bearer \(token)"
            #expect(try await server.request("POST", "/publish?topic=ann/a", [bearer], body: "x").status == 200)
            #expect(try await server.request("POST", "/publish?topic=bob/a", [bearer], body: "x").status == 403)
            let poll = "/v1/subscribe?topic=ann/%23&wait=0&access_token=\(token)"
            #expect(try await server.request("GET", poll, ["Accept: application/json"]).status == 200)
            #expect(try await server.request("GET", poll, ["Accept: application/json", bearer]).status == 400)
            // Elsewhere it would end up in places where queries are kept.
            let published = try await server.request("POST", "/publish?topic=ann/a&access_token=\(token)", body: "x")
            #expect(published.status == 400)
            #expect(try await server.request("POST", "/v1/token", [bearer]).status == 403)
            #expect(try await server.request("DELETE", "/v1/token", [bearer]).status == 204)
            let late = try await server.request("POST", "/publish?topic=ann/a", [bearer], body: "x")
            #expect(late.status == 401)
            #expect(late.fields["www-authenticate"]?.contains("invalid_token") == true)
        }
    }

    @Test("nobody gets a token who could not connect")
    func refused() async throws {
        try await TestServer.run(access: AccessTable(["ann": "secret"], allowsAnonymous: false)) { server in
            let stranger = try await server.request("POST", "/v1/token")
            #expect(stranger.status == 401)
            let wrong = "Authorization: Basic YW5uOndyb25n"
            #expect(try await server.request("POST", "/v1/token", [wrong]).status == 401)
        }
    }

    @Test("a token that is bound to a Client Identifier opens no other session")
    func boundToClient() async throws {
        try await TestServer.run { server in
            let token = try token(try await server.request("POST", "/v1/token?clientid=dash"))
            let json = ["Accept: application/json"]
            let poll = "/v1/subscribe?topic=a&clean=0&wait=0&access_token=\(token)"
            #expect(try await server.request("GET", poll + "&clientid=other", json).status == 403)
            #expect(try await server.request("GET", poll + "&clientid=dash", json).status == 200)
        }
    }
}
