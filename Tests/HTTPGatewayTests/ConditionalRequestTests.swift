import HTTPGateway
import HTTPTestSupport
import HTTPTypes
import Testing

@Suite(.timeLimit(.minutes(1))) struct ConditionalRequestTests {
    @Test(
        "RFC 9110 §13.2.2: If-Match comes first, If-None-Match after it",
        arguments: [
            ([], [], "\"1\"", true, .proceed), ([], ["\"1\""], "\"1\"", true, .notModified),
            ([], ["W/\"1\""], "\"1\"", true, .notModified), ([], ["\"2\", \"1\""], "\"1\"", false, .failed),
            ([], ["*"], "\"1\"", false, .failed), ([], ["*"], nil, false, .proceed),
            (["\"1\""], [], "\"1\"", false, .proceed), (["\"2\""], [], "\"1\"", true, .failed),
            // Strong comparison.
            (["W/\"1\""], [], "\"1\"", false, .failed), (["*"], [], nil, false, .failed),
            (["*"], ["\"1\""], "\"1\"", true, .notModified),
        ] as [([String], [String], String?, Bool, Preconditions.Verdict)]
    )
    func verdicts(ifMatch: [String], ifNoneMatch: [String], tag: String?, isRead: Bool, verdict: Preconditions.Verdict)
    {
        var fields = HTTPFields()
        fields[values: .ifMatch] = ifMatch
        fields[values: .ifNoneMatch] = ifNoneMatch
        #expect(Preconditions(fields).verdict(tag, isRead: isRead) == verdict)
    }

    @Test("a retained value is set and cleared only when it is the one the client means")
    func retained() async throws {
        try await TestServer.run { server in
            let create = ["If-None-Match: *"]
            #expect(try await server.request("PUT", "/v1/topics/a", create, body: "1").status == 200)
            let taken = try await server.request("PUT", "/v1/topics/a", create, body: "2")
            #expect(taken.status == 412)
            #expect(taken.fields["content-type"] == "application/problem+json")
            let tag = try #require(try await server.request("GET", "/v1/topics/a").fields["etag"])
            #expect(try await server.request("PUT", "/v1/topics/a", ["If-Match: \(tag)"], body: "2").status == 200)
            #expect(try await server.request("PUT", "/v1/topics/a", ["If-Match: \(tag)"], body: "3").status == 412)
            #expect(try await server.request("DELETE", "/v1/topics/a", ["If-Match: \(tag)"]).status == 412)
            #expect(try await server.request("GET", "/v1/topics/a", ["If-Match: \(tag)"]).status == 412)
            #expect(try await server.request("GET", "/v1/topics/a").body == "2")
            #expect(try await server.request("DELETE", "/v1/topics/a", ["If-Match: *"]).status == 204)
        }
    }

    @Test("a large value comes whole")
    func large() async throws {
        try await TestServer.run { server in
            let payload = String(repeating: "0123456789abcdef", count: 50_000)
            #expect(try await server.request("PUT", "/v1/topics/a", body: payload).status == 200)
            let answer = try await server.request("GET", "/v1/topics/a")
            #expect(answer.fields["content-length"] == "800000")
            #expect(answer.body == payload)
        }
    }
}
