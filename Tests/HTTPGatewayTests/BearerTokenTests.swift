import BrokerCore
import CoreRuntime
import HTTPGateway
import HTTPTestSupport
import NIOCore
import Testing

/// Tokens that the gateway does not know, and the broker's authenticator does.
@Suite(.timeLimit(.minutes(1))) struct BearerTokenTests {
    /// Knows the tokens `user:seconds`, and takes its time over each.
    private final class TokenDesk: Authenticator, Sendable {
        func authenticate(_ credentials: Credentials) -> Authentication {
            let pending = PendingAuthentication()
            let words = String(buffer: credentials.password ?? ByteBuffer()).split(separator: ":")
            if credentials.isToken, credentials.userName == nil, words.count == 2, let seconds = Int64(words[1]) {
                pending.answer(.acceptedToken(userName: String(words[0]), expiresAt: .now() + .seconds(seconds)))
            } else {
                pending.answer(.badCredentials)
            }
            return .pending(pending)
        }
    }

    private func bearer(_ token: String) -> String { "Authorization: Bearer \(token)" }

    @Test("a token goes to the authenticator, which lets it in or not") func tokenGoesAuthenticatorLets() async throws {
        try await TestServer.run(authenticator: TokenDesk()) { server in
            let good = try await server.request("POST", "/publish?topic=a", [bearer("ann:60")], body: "x")
            #expect(good.status == 200)
            let bad = try await server.request("POST", "/publish?topic=a", [bearer("nonsense")], body: "x")
            #expect(bad.status == 401)
            #expect(bad.fields["www-authenticate"]?.contains("invalid_token") == true)
            let poll = "/v1/subscribe?topic=a&wait=0&access_token="
            let json = ["Accept: application/json"]
            #expect(try await server.request("GET", poll + "ann:60", json).status == 200)
            #expect(try await server.request("GET", poll + "nonsense", json).status == 401)
            #expect(try await server.request("POST", "/publish?topic=a&access_token=ann:60", body: "x").status == 400)
            #expect(try await server.request("POST", "/v1/token", [bearer("ann:60")]).status == 403)
        }
    }

    @Test("where anybody is let in, an unknown token is worthless all the same") func whereAnybodyLetUnknown()
        async throws
    {
        try await TestServer.run { server in
            let without = try await server.request("POST", "/publish?topic=a", body: "x")
            #expect(without.status == 200)
            let with = try await server.request("POST", "/publish?topic=a", [bearer("x")], body: "x")
            #expect(with.status == 401)
        }
    }

    @Test("the cursor of one token's poll is not for another") func cursorOneTokensPoll() async throws {
        try await TestServer.run(authenticator: TokenDesk()) { server in
            let json = "Accept: application/json"
            let first = try await server.request("GET", "/v1/subscribe?topic=a&wait=0", [bearer("ann:60"), json])
            let next = try #require(first.body.firstMatch(of: /"next":"([^"]+)"/)?.output.1)
            let address = "/v1/subscribe?topic=a&wait=0&cursor=\(next)"
            #expect(try await server.request("GET", address, [bearer("bob:60"), json]).status == 404)
            #expect(try await server.request("GET", address, [bearer("nonsense"), json]).status == 401)
            #expect(try await server.request("GET", address, [bearer("ann:60"), json]).status == 200)
        }
    }

    @Test("a renewed token of the same user goes on with its poll and its Idempotency-Keys") func renewedTokenSameUser()
        async throws
    {
        try await TestServer.run(authenticator: TokenDesk()) { server in
            let json = "Accept: application/json"
            let first = try await server.request("GET", "/v1/subscribe?topic=a&wait=0", [bearer("ann:60"), json])
            let next = try #require(first.body.firstMatch(of: /"next":"([^"]+)"/)?.output.1)
            let address = "/v1/subscribe?topic=a&wait=0&cursor=\(next)"
            #expect(try await server.request("GET", address, [bearer("ann:90"), json]).status == 200)
            let key = "Idempotency-Key: k"
            for (token, isRepeat) in [("ann:60", false), ("ann:90", true), ("bob:60", false)] {
                let answer = try await server.request("POST", "/publish?topic=a", [key, bearer(token)], body: "x")
                #expect(answer.status == 200)
                #expect((answer.fields["idempotency-replayed"] == "true") == isRepeat, "\(token)")
            }
            let bad = try await server.request("POST", "/publish?topic=a", [key, bearer("nonsense")], body: "x")
            #expect(bad.status == 401)
        }
    }

    @Test("a poll that goes on with a renewed token outlives the first one") func pollGoesRenewedToken() async throws {
        try await TestServer.run(authenticator: TokenDesk()) { server in
            let json = "Accept: application/json"
            let first = try await server.request("GET", "/v1/subscribe?topic=a&wait=0", [bearer("ann:2"), json])
            let next = try #require(first.body.firstMatch(of: /"next":"([^"]+)"/)?.output.1)
            let address = "/v1/subscribe?topic=a&wait=3&cursor=\(next)"
            #expect(try await server.request("GET", address, [bearer("ann:90"), json]).status == 200)
        }
    }

    @Test(
        "a page that shows a key nobody knows is refused, where anybody is let in",
        arguments: ["access_token", "password"]
    )
    func pageShowsKeyNobody(member: String) async throws {
        try await TestServer.run { server in
            let page = try await JSONClient.open(server, connect: nil)
            try await page.send(#"{"op":"connect","\#(member)":"slk_mistyped"}"#)
            #expect(try await page.answers(1)[0].contains(#""reason_code":134"#))
        }
    }

    @Test("a stream ends with its token, and says why") func streamEndsTokenSays() async throws {
        try await TestServer.run(authenticator: TokenDesk()) { server in
            let fields = [bearer("ann:1"), "Accept: text/event-stream"]
            let answer = try await server.request("GET", "/v1/subscribe?topic=a", fields)
            #expect(answer.status == 200)
            #expect(answer.body.contains("event: disconnect"))
            #expect(answer.body.contains("Not authorized"))
        }
    }

    @Test("a page connects with a token, and is told when it is over") func pageConnectsTokenTold() async throws {
        try await TestServer.run(authenticator: TokenDesk()) { server in
            let stranger = try await JSONClient.open(server, connect: nil)
            try await stranger.send(#"{"op":"connect","access_token":"nonsense"}"#)
            let refusal = try await stranger.answers(1)
            #expect(refusal[0].contains(#""reason_code":134"#))
            let page = try await JSONClient.open(server, connect: nil)
            try await page.send(#"{"op":"connect","access_token":"ann:1"}"#)
            let end = try await page.untilClosed()
            #expect(end.answers.first?.contains(#""op":"connected""#) == true)
            #expect(end.answers.last?.contains(#""op":"disconnect""#) == true)
            #expect(end.answers.last?.contains(#""reason_code":135"#) == true)
        }
    }
}
