import HTTPGateway
import HTTPServer
import HTTPTestSupport
import NIOCore
import Testing

/// What web pages may do: those of our own origin everything, others what they are let.
@Suite(.timeLimit(.minutes(1))) struct OriginTests {
    private static let evil = "Origin: https://evil.example"

    /// As installed: on loopback, nothing said about names and origins.
    private static let usual = HTTPListener.Configuration.test { $0.server.hostnames = [] }

    private func send(
        _ server: TestServer,
        _ method: String,
        _ target: String,
        _ fields: [String],
        body: String = ""
    ) async throws -> Answer {
        let client = try await server.connect()
        let length = body.isEmpty ? [] : ["Content-Length: \(body.utf8.count)"]
        let head = (["\(method) \(target) HTTP/1.1", "Connection: close"] + fields + length).joined(separator: "\r\n")
        try await client.send(head + "\r\n\r\n" + body)
        // A stream has no end.
        let text = try await client.text(containing: "\r\n\r\n")
        try? await client.close()
        return Answer(text)
    }

    private func expectUpgrade(
        _ status: Int,
        _ server: TestServer,
        _ fields: [String],
        target: String = "/mqtt"
    ) async throws {
        let client = try await server.connect()
        let all = WebSocketClient.handshake + ["Sec-WebSocket-Protocol: sluice.json"] + fields
        try await client.send("GET \(target) HTTP/1.1\r\n\(all.joined(separator: "\r\n"))\r\n\r\n")
        let answer = Answer(try await client.text(containing: "\r\n\r\n"))
        try? await client.close()
        #expect(answer.status == status, "\(fields)")
    }

    /// Whatever acts or reads.
    private static let requests = [
        ("POST", "/publish?topic=a"), ("POST", "/v1/topics/a"), ("PUT", "/v1/topics/a"), ("GET", "/v1/topics/a"),
        ("HEAD", "/v1/topics/a"), ("DELETE", "/v1/topics/a"), ("GET", "/v1/subscribe?topic=%23"),
        ("GET", "/v1/subscribe?topic=a&clientid=dash&clean=0"), ("POST", "/v1/request/a"), ("POST", "/v1/token"),
        ("GET", "/v1/health"),
    ]

    @Test("without a list only pages of the same origin may do anything", arguments: requests)
    func sameOriginOnly(method: String, target: String) async throws {
        try await TestServer.run(configuration: Self.usual) { server in
            let host = "127.0.0.1:\(server.port)"
            for fields in [
                [Self.evil], ["Origin: null"], ["Origin: http://127.0.0.1:1"],
                ["Origin: http://localhost:\(server.port)"],
                ["Sec-Fetch-Site: cross-site"], ["Sec-Fetch-Site: same-site"],
                [Self.evil, "Sec-Fetch-Site: cross-site"],
                // A browser that says both knows better than we.
                ["Origin: http://\(host)", "Sec-Fetch-Site: cross-site"],
            ] {
                let answer = try await send(server, method, target, ["Host: \(host)"] + fields)
                #expect(answer.status == 403, "\(fields)")
                #expect(answer.fields["access-control-allow-origin"] == nil)
            }
            for fields in [
                [], ["Origin: http://\(host)"], ["Sec-Fetch-Site: same-origin"], ["Sec-Fetch-Site: none"],
                // Behind a proxy that has changed Host.
                ["Origin: https://dash.example", "Sec-Fetch-Site: same-origin"],
            ] {
                let answer = try await send(server, method, target, ["Host: \(host)"] + fields)
                #expect(answer.status != 403, "\(fields)")
            }
        }
    }

    @Test("a WebSocket is refused to pages of other origins, and opened to our own")
    func webSockets() async throws {
        try await TestServer.run(configuration: Self.usual) { server in
            let host = "127.0.0.1:\(server.port)"
            for (fields, status) in [
                (["Host: \(host)", Self.evil], 403), (["Host: \(host)", "Origin: null"], 403),
                (["Host: evil.example", "Origin: http://evil.example"], 421),
                (["Host: \(host)", "Origin: http://\(host)"], 101), (["Host: \(host)"], 101),
            ] {
                try await expectUpgrade(status, server, fields)
            }
        }
    }

    @Test("origins that are listed may do what our own may, and read the answers")
    func listed() async throws {
        let listed = HTTPListener.Configuration.test { $0.server.allowedOrigins = ["https://Dash.example"] }
        try await TestServer.run(configuration: listed) { server in
            let ours = ["Origin: https://dash.example", "Sec-Fetch-Site: cross-site"]
            let answer = try await server.request("POST", "/publish?topic=a", ours, body: "x")
            #expect(answer.status == 200)
            #expect(answer.fields["access-control-allow-origin"] == "https://dash.example")
            #expect(answer.fields["vary"] == "Origin")
            #expect(
                try await server.request("POST", "/publish?topic=a", ["Origin: http://test"], body: "x").status == 200
            )
            let evil = try await server.request("POST", "/publish?topic=a", [Self.evil], body: "x")
            #expect(evil.status == 403 && evil.fields["access-control-allow-origin"] == nil)
            try await expectUpgrade(101, server, ["Host: test", "Origin: https://dash.example"])
            try await expectUpgrade(403, server, ["Host: test", Self.evil])
        }
        // Where any name is taken, a page that has let its own name point here is not of our origin.
        let everywhere = HTTPListener.Configuration.test {
            $0.server.host = "0.0.0.0"
            $0.server.hostnames = []
            $0.server.allowedOrigins = ["https://dash.example"]
        }
        try await TestServer.run(configuration: everywhere) { server in
            let rebound = ["Host: evil.example", "Origin: http://evil.example"]
            let answer = try await send(server, "POST", "/publish?topic=a", rebound, body: "x")
            #expect(answer.status == 403)
        }
    }

    /// Where the live page opens its WebSocket.
    private func page(_ server: TestServer) async throws -> String {
        let page = try await server.request("GET", "/").body
        let found = page.firstMatch(of: /content="\.(\/mqtt\?page=[0-9a-f]+)"/)
        return found.map { String($0.output.1) } ?? ""
    }

    @Test("the live page's WebSocket is known by its ticket, whatever a proxy has made of Host")
    func ticket() async throws {
        try await TestServer.run { server in
            let target = try await page(server)
            let fields = ["Host: test", "Origin: http://dash.example:8091"]
            try await expectUpgrade(101, server, fields, target: target)
            try await expectUpgrade(403, server, fields + ["Sec-Fetch-Site: cross-site"], target: target)
            try await expectUpgrade(403, server, fields, target: target.dropLast() + "x")
            try await expectUpgrade(403, server, fields)
        }
        // Where any name is taken, a page of another name can read it, and a list is all there is.
        let everywhere = HTTPListener.Configuration.test {
            $0.server.host = "0.0.0.0"
            $0.server.hostnames = []
            $0.server.allowedOrigins = ["https://dash.example"]
        }
        try await TestServer.run(configuration: everywhere) { server in
            let rebound = ["Host: evil.example", "Origin: http://evil.example"]
            try await expectUpgrade(403, server, rebound, target: try await page(server))
        }
    }

    @Test("any origin is let in where that is said, and reads why it was refused")
    func anyOrigin() async throws {
        try await TestServer.run(configuration: .test { $0.server.allowedOrigins = ["*"] }) { server in
            let page = ["Origin: https://any.example", "Sec-Fetch-Site: cross-site"]
            for target in ["/publish?topic=a", "/publish?topic=a/%23", "/nowhere"] {
                let answer = try await server.request("POST", target, page, body: "x")
                #expect(answer.status != 403)
                #expect(answer.fields["access-control-allow-origin"] == "*")
                #expect(answer.fields["vary"] == nil)
            }
        }
    }

    @Test("the files of the live page do nothing, and can be linked to from anywhere")
    func files() async throws {
        try await TestServer.run { server in
            for path in ["/", "/live/script.js", "/v1/openapi.yaml"] {
                let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]
                let answer = try await server.request("GET", path, link)
                #expect(answer.status == 200)
            }
        }
    }

    @Test(
        "what pages may do is told of every path",
        arguments: [("/publish", "POST"), ("/nothing/here", "GET"), ("/mqtt", "GET"), ("*", "GET"), ("/", "GET")]
    )
    func preflights(path: String, method: String) async throws {
        try await TestServer.run { server in
            let asked = "authorization,cache-control,x-requested-with"
            let fields = [Self.evil, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: \(asked)"]
            let answer = try await server.request("OPTIONS", path, fields)
            #expect(answer.status == 204)
            #expect(answer.fields["access-control-allow-methods"]?.contains(method) == true)
            #expect(answer.fields["access-control-allow-headers"] == asked)
            #expect(answer.fields["access-control-max-age"] != nil)
            // Which says no.
            #expect(answer.fields["access-control-allow-origin"] == nil)
            let plain = try await server.request("OPTIONS", path)
            #expect(plain.fields["access-control-allow-headers"]?.contains("Cache-Control") == true)
        }
    }
}
