import HTTPServer
import HTTPTestSupport
import NIOCore
import Testing

/// Requests that make their connection a WebSocket.
@Suite(.timeLimit(.minutes(1))) struct WebSocketTests {
    private func upgrade(_ server: PlainServer, _ path: String, _ fields: [String]) async throws -> Answer {
        let client = try await server.connect()
        let all = WebSocketClient.handshake + ["Host: a"] + fields
        try await client.send("GET \(path) HTTP/1.1\r\n\(all.joined(separator: "\r\n"))\r\n\r\n")
        let answer = Answer(try await client.text(containing: "\r\n\r\n"))
        try? await client.close()
        return answer
    }

    @Test(
        "of the subprotocols that a client offers, the first is chosen that is served",
        arguments: [("echo", 101, "echo"), ("x, shout, echo", 101, "shout"), ("x", 400, nil)]
            as [(String, Int, String?)]
    )
    func subprotocols(offered: String, status: Int, chosen: String?) async throws {
        try await PlainServer.run { server in
            let answer = try await upgrade(server, "/socket", ["Sec-WebSocket-Protocol: \(offered)"])
            #expect(answer.status == status && answer.fields["sec-websocket-protocol"] == chosen)
            // The example of RFC 6455 §1.3.
            if status == 101 { #expect(answer.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") }
        }
    }

    @Test("the responder's handlers get the messages, those that came with the handshake too")
    func messages() async throws {
        try await PlainServer.run { server in
            let socket = try await WebSocketClient.open(try await server.connect(), at: "/socket", "shout")
            try await socket.send(1, Array("hello".utf8))
            #expect(try await socket.frames(1).first?.payload == Array("HELLO".utf8))
            let early = try await server.connect()
            let fields = WebSocketClient.handshake + ["Host: a", "Sec-WebSocket-Protocol: echo"]
            let get = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
            var bytes = ByteBuffer(string: get + "GET /socket HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
            bytes.writeImmutableBuffer(WebSocketClient.frame(1, Array("early".utf8)))
            try await early.send(bytes)
            let text = try await early.text(containing: "early")
            #expect(text.split(separator: "HTTP/1.1 ").map { $0.prefix(3) } == ["200", "101"])
        }
    }

    @Test("a WebSocket at another path is told where they are, and a request for none is answered as it is")
    func elsewhere() async throws {
        try await PlainServer.run { server in
            let answer = try await upgrade(server, "/health", ["Sec-WebSocket-Protocol: echo"])
            #expect(answer.status == 404 && answer.body.contains("WebSockets are at /socket"))
        }
        try await PlainServer.run(hasWebSockets: false) { server in
            let answer = try await upgrade(server, "/health", ["Sec-WebSocket-Protocol: echo"])
            #expect(answer.status == 200)
        }
    }

    @Test("pages of other origins open no WebSocket, but one that shows the ticket of an own page")
    func origins() async throws {
        try await PlainServer.run { server in
            let fields = ["Sec-WebSocket-Protocol: echo", "Origin: https://other.example"]
            for (path, status) in [("/socket", 403), ("/socket?ticket=2", 403), ("/socket?ticket=1", 101)] {
                let answer = try await upgrade(server, path, fields)
                #expect(answer.status == status, "\(path)")
            }
        }
    }
}
