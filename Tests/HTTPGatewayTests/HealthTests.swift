import HTTPTestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct HealthTests {
    @Test("a probe without credentials is told that all is well")
    func well() async throws {
        try await TestServer.run { server in
            let answer = try await server.request("GET", "/v1/health")
            #expect(answer.status == 200)
            #expect(answer.body == #"{"status":"ok"}"#)
            #expect(try await server.request("HEAD", "/v1/health").status == 200)
            #expect(try await server.request("POST", "/v1/health").status == 405)
        }
    }
}
