import HTTPServer
import HTTPTestSupport
import NIOCore
import Testing

/// Requests that come together, in pieces, or not to their end, and clients that end their half of the connection.
@Suite(.timeLimit(.minutes(1))) struct HostileConnectionTests {
    private func get(_ target: String, _ fields: String = "") -> String {
        "GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
    }

    @Test(
        "an answer that just fills the connection's buffer is one answer",
        arguments: [65_000, 65_300, 65_400, 65_500, 65_536, 65_600, 131_000]
    )
    func fullBuffer(size: Int) async throws {
        try await PlainServer.run { server in
            let value = String(repeating: "x", count: size)
            #expect(try await server.request("PUT", "/values/a", body: value).status == 200)
            let client = try await server.connect()
            try await client.send(
                get("/values/a") + get("/values/a") + get("/health", "Connection: close\r\n")
            )
            let text = try await client.untilClosed()
            #expect(text.split(separator: "HTTP/1.1 200").count == 3)
            #expect(text.hasSuffix(#"{"status":"ok"}"#))
        }
    }

    @Test("an answer to a request with a body that nobody wants comes whole")
    func unwantedBody() async throws {
        let maximumBody = 8_000_000
        try await PlainServer.run(maximumBody: maximumBody) { server in
            let value = String(repeating: "0123456789", count: 600_000)
            let put = try await server.request("PUT", "/values/a", body: value)
            #expect(put.status == 200)
            for _ in 0..<5 {
                let answer = try await server.request("GET", "/values/a", body: "x")
                #expect(answer.body.utf8.count == value.utf8.count)
            }
        }
    }

    @Test("the body of a request that came with others may take no longer than any other")
    func lateBody() async throws {
        let configuration = Server.Configuration.test { $0.bodyTimeout = .milliseconds(300) }
        try await PlainServer.run(configuration: configuration) { server in
            let client = try await server.connect()
            try await client.send(
                get("/health") + "PUT /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
            )
            #expect(try await client.untilClosed().contains("HTTP/1.1 408"))
        }
    }

    @Test("a body of a length that no number holds is no empty body", arguments: ["PUT", "POST", "GET", "DELETE"])
    func impossibleLength(method: String) async throws {
        try await PlainServer.run { server in
            #expect(try await server.request("PUT", "/values/a", body: "old").status == 200)
            let client = try await server.connect()
            try await client.send(
                "\(method) /values/b HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nNEW"
            )
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == (method == "GET" ? 404 : method == "DELETE" ? 200 : 413) || answer.status == 204)
            #expect(answer.fields["connection"] == "close")
            #expect(try await server.request("GET", "/values/b").status == 404)
        }
    }

    @Test("all requests are answered that came before the client ended its half, and before what is none")
    func halfClosed() async throws {
        try await PlainServer.run { server in
            let post = "POST /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
            let first = try await server.connect()
            try await first.send(post + post + post)
            try await first.finish()
            #expect(try await first.untilClosed().split(separator: "HTTP/1.1 200").count == 3)
            let second = try await server.connect()
            try await second.send(post + post + post + "nonsense\r\n\r\n")
            #expect(try await second.untilClosed().split(separator: "HTTP/1.1 200").count == 3)
        }
    }

    @Test("a try to become a WebSocket that is refused is told so itself, not a request before it")
    func lateUpgrade() async throws {
        try await PlainServer.run { server in
            let post = "POST /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
            let client = try await server.connect()
            try await client.send(
                post + post
                    + get("/socket", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
            )
            let text = try await client.untilClosed()
            #expect(text.split(separator: "HTTP/1.1 ").map { $0.prefix(3) } == ["200", "200", "400"])
        }
    }

    @Test("however the bytes of requests are cut, the answers are the same", arguments: 0..<8 as Range<UInt64>)
    func cuts(seed: UInt64) async throws {
        try await PlainServer.run { server in
            let chunked = "PUT /values/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            let requests = [
                chunked + "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", get("/values/a"), get("/nothing"),
                "HEAD /values/a HTTP/1.1\r\nHost: a\r\n\r\n",
                get("/later"),
                "POST /values/b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nPrefer: return=minimal\r\n\r\nhi",
                "DELETE /values/a HTTP/1.1\r\nHost: a\r\n\r\n", get("/values/a"),
                get("/health", "Connection: close\r\n"),
            ]
            let bytes = ByteBuffer(string: requests.joined())
            var random = seed
            var rest = bytes
            let client = try await server.connect()
            while rest.readableBytes > 0 {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let length = min(Int(random >> 33) % 40 + 1, rest.readableBytes)
                if let part = rest.readSlice(length: length) { try await client.send(part) }
            }
            let text = try await client.untilClosed()
            let statuses = text.split(separator: "HTTP/1.1 ").map { $0.prefix(3) }
            #expect(statuses == ["200", "200", "404", "200", "200", "204", "204", "404", "200"])
            #expect(text.contains("\r\n\r\nabcdHTTP/1.1 404"))
        }
    }

    @Test("a client that sends requests without end and reads no answer is cut off")
    func flood() async throws {
        try await PlainServer.run { server in
            #expect(
                try await server.request("PUT", "/values/a", body: String(repeating: "x", count: 900_000)).status
                    == 200
            )
            let client = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            let large = String(repeating: get("/values/a"), count: 8)
            try await client.send(large + String(repeating: get("/x"), count: 3_000))
            let more = client
            // The server stops reading, or closes; it must not take it all.
            async let sent: Void = more.send(ByteBuffer(repeating: UInt8(ascii: "\n"), count: 64 * 1_024 * 1_024))
            #expect(try await server.request("POST", "/values/b", body: "others are served").status == 200)
            try await client.close()
            _ = try? await sent
        }
    }

    @Test("HTTP/1.0 gets what it knows: no chunks, no 100, and keep-alive when it asks")
    func oldClients() async throws {
        try await PlainServer.run { server in
            let kept = try await server.connect()
            try await kept.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let text = try await kept.text(containing: "ok").lowercased()
            #expect(text.hasPrefix("http/1.0 200") && text.contains("connection: keep-alive"))
            try await kept.send("POST /values/a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1")
            let rest = try await kept.untilClosed()
            #expect(!rest.contains(" 100 ") && rest.split(separator: "HTTP/1.0 200").count == 2)
            let stream = try await server.connect()
            try await stream.send("GET /stream HTTP/1.0\r\n\r\n")
            let opening = try await stream.text(containing: "open").lowercased()
            #expect(!opening.contains("chunked"))
            server.responder.tellStreams("hello")
            try await stream.text(containing: "hello")
        }
    }

    @Test("HTTP/1.1 names one host", arguments: ["", "Host: a\r\nHost: b\r\n"])
    func host(fields: String) async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send("GET /health HTTP/1.1\r\n\(fields)\r\n")
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == 400 && answer.body.contains("Host"))
        }
    }
}
