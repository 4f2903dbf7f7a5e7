import HTTPGateway
import HTTPTestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct StaticFileTests {
    @Test("the page and its parts are served with a strict policy, and nothing of them from elsewhere")
    func page() async throws {
        try await TestServer.run(configuration: .test { $0.websocketPath = "/a\"<&" }) { server in
            for file in StaticFile.allCases where file.isLivePage {
                let answer = try await server.request("GET", file.rawValue)
                #expect(answer.status == 200)
                #expect(
                    answer.fields["content-security-policy"]?.hasPrefix("default-src 'none'; script-src 'self'") == true
                )
                #expect(answer.fields["x-content-type-options"] == "nosniff")
                #expect(!answer.body.contains("http://") || file == .icon)
                #expect(!answer.body.contains("https://"))
                let tag = try #require(answer.fields["etag"])
                let again = try await server.request("GET", file.rawValue, ["If-None-Match: \(tag)"])
                #expect(again.status == 304)
                let head = try await server.request("HEAD", file.rawValue)
                #expect(head.body.isEmpty && head.fields["content-length"] == answer.fields["content-length"])
            }
            let page = try await server.request("GET", "/")
            #expect(page.body.contains(#"content="./a&quot;&lt;&amp;?page="#))
            #expect(try await server.request("POST", "/", body: "x").status == 405)
        }
    }

    @Test("the page asks for its parts and its WebSocket from where it is, which may be below a proxy's path")
    func subpath() async throws {
        try await TestServer.run { server in
            let page = try await server.request("GET", "/").body
            #expect(page.contains(#"content="./mqtt?page="#) && page.contains(#"src="./live/script.js""#))
            for attribute in ["href", "src", "content"] { #expect(!page.contains("\(attribute)=\"/")) }
            let script = try await server.request("GET", "/live/script.js").body
            #expect(script.contains(#"from "./socket.js""#))
        }
    }

    @Test("the page can be switched off; the OpenAPI document stays")
    func switchedOff() async throws {
        try await TestServer.run(configuration: .test { $0.hasLivePage = false }) { server in
            for file in StaticFile.allCases {
                let answer = try await server.request("GET", file.rawValue)
                #expect(answer.status == (file.isLivePage ? 404 : 200))
            }
            let openAPI = try await server.request("GET", "/v1/openapi.yaml")
            #expect(openAPI.fields["content-type"] == "application/yaml")
            #expect(openAPI.body.hasPrefix("openapi: 3.1.0\n"))
        }
    }
}
