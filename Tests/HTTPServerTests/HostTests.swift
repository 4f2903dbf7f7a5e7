import HTTPServer
import HTTPTestSupport
import NIOCore
import Testing

/// Under which names a server serves, and to which pages.
@Suite(.timeLimit(.minutes(1))) struct HostTests {
    /// As installed: on loopback, nothing said about names and origins.
    private static let usual = Server.Configuration.test { $0.hostnames = [] }

    private func send(
        _ server: PlainServer,
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

    private func expectHealth(_ status: Int, _ server: PlainServer, _ fields: [String]) async throws {
        let answer = try await send(server, "GET", "/health", fields)
        #expect(answer.status == status, "\(fields)")
    }

    @Test(
        "on loopback a request says a name that nobody else can point here, else it is misdirected",
        arguments: [
            ("127.0.0.1", false), ("127.0.0.1:8080", false), ("localhost:1", false), ("LOCALHOST.:80", false),
            ("app.localhost", false), ("[::1]:8080", false), ("evil.example", true), ("evil.example:8080", true),
            ("localhost.evil.example", true), ("127.0.0.1.evil.example", true), ("evil.example:80@127.0.0.1", true),
            ("192.0.2.1", true), ("localhost:evil", true), ("[::1", true), ("x", true), ("", true),
        ]
    )
    func loopbackNames(host: String, isMisdirected: Bool) async throws {
        try await PlainServer.run(configuration: Self.usual) { server in
            for target in ["/values/a", "/page", "http://\(host.isEmpty ? "evil.example" : host)/values/a"] {
                let answer = try await send(
                    server,
                    "GET",
                    target,
                    ["Host: \(target.hasPrefix("h") ? "127.0.0.1" : host)"]
                )
                #expect((answer.status == 421) == isMisdirected, "\(target)")
            }
            let page = try await send(server, "GET", "/page", ["Host: \(host)", "Sec-Fetch-Site: same-origin"])
            #expect((page.status == 421) == isMisdirected)
        }
    }

    @Test("names can be given to a listener, and then it goes by them")
    func hostnames() async throws {
        let named = Server.Configuration.test { $0.hostnames = ["Broker.example"] }
        try await PlainServer.run(configuration: named) { server in
            try await expectHealth(200, server, ["Host: broker.example:80"])
            try await expectHealth(200, server, ["Host: localhost"])
            try await expectHealth(421, server, ["Host: other.example"])
        }
        let everywhere = Server.Configuration.test {
            $0.host = "0.0.0.0"
            $0.hostnames = ["broker.example"]
        }
        try await PlainServer.run(configuration: everywhere) { server in
            try await expectHealth(200, server, ["Host: broker.example"])
            // The address that this connection came to, as probes say it.
            try await expectHealth(200, server, ["Host: 127.0.0.1:\(server.port)"])
            try await expectHealth(421, server, ["Host: evil.example"])
        }
        let unnamed = Server.Configuration.test {
            $0.host = "0.0.0.0"
            $0.hostnames = []
        }
        try await PlainServer.run(configuration: unnamed) { server in
            try await expectHealth(200, server, ["Host: any.example"])
            let page = ["Host: any.example:80", "Origin: http://any.example"]
            try await expectHealth(200, server, page)
        }
    }

    @Test("HTTP/1.0 needs no Host: no browser speaks it")
    func oldClients() async throws {
        try await PlainServer.run(configuration: Self.usual) { server in
            let client = try await server.connect()
            try await client.send("GET /health HTTP/1.0\r\n\r\n")
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.0 200"))
        }
    }

    @Test(
        "origins are written as browsers write them",
        arguments: [
            ("https://dash.example", true), ("http://127.0.0.1:8080", true), ("app://local", true), ("*", true),
            ("null", true),
            ("https://dash.example/", false), ("dash.example", false), ("https://", false), ("https://a b", false),
            ("https://u@a.example", false),
        ]
    )
    func origins(text: String, isOne: Bool) { #expect(OriginPolicy.isOrigin(text) == isOne) }

    @Test(
        "names are names, without scheme and port",
        arguments: [
            ("broker.example", true), ("Broker", true), ("192.0.2.1", true), ("::1", true),
            ("broker.example:80", false),
            ("https://broker.example", false), ("", false), ("a b", false), ("*.example", false),
        ]
    )
    func names(text: String, isOne: Bool) { #expect(HostNames.isName(text) == isOne) }
}
