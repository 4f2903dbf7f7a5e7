import BrokerCore
import HTTPGateway
import HTTPServer
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What the gateway makes of its connections; the tests of the server alone are HTTPServerTests.
@Suite(.timeLimit(.minutes(1))) struct GatewayConnectionTests {
    @Test(
        "what is no HTTP request is answered and closed",
        arguments: [
            ("nonsense\r\n\r\n", 400), ("GET /a HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
            ("POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        ]
    )
    func malformed(text: String, status: Int) async throws {
        try await TestServer.run { server in
            let client = try await server.connect()
            try await client.send(text)
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == status)
            #expect(answer.fields["content-type"] == "application/problem+json")
        }
    }

    @Test("a body beyond the limit is refused by its length, and without one when there is too much")
    func largeBodies() async throws {
        var limits = Limits()
        limits.maximumPacketSize = 10_000
        try await TestServer.run(limits: limits) { server in
            let announced = try await server.connect()
            try await announced.send("POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nContent-Length: 10001\r\n\r\n")
            #expect(try await announced.text(containing: "\r\n\r\n{").hasPrefix("HTTP/1.1 413"))
            let chunked = try await server.connect()
            try await chunked.send("POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = "7d0\r\n\(String(repeating: "x", count: 2_000))\r\n"
            try await chunked.send(String(repeating: chunk, count: 6))
            #expect(try await chunked.untilClosed().hasPrefix("HTTP/1.1 413"))
            try await server.publish("a", String(repeating: "x", count: 10_000))
        }
    }

    @Test("a client that reads nothing is closed after a while, its stream and its WebSocket too")
    func stalled() async throws {
        try await TestServer.run(
            configuration: .test { configuration in
                configuration.server.stallTimeout = .milliseconds(300)
                configuration.pingInterval = nil
            }
        ) { server in
            let stream = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            try await stream.send("GET /v1/subscribe?topic=s HTTP/1.1\r\nHost: a\r\n\r\n")
            let page = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            let fields = WebSocketClient.handshake + ["Host: a", "Sec-WebSocket-Protocol: sluice.json"]
            try await page.send("GET /mqtt HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
            for text in [#"{"op":"connect"}"#, #"{"op":"subscribe","topic":"s"}"#] {
                try await page.send(WebSocketClient.frame(1, Array(text.utf8)))
            }
            try await waitFor(server) { $0.connectedClients == 2 }
            // More than the sockets' buffers hold.
            let payload = String(repeating: "x", count: 1_000_000)
            for _ in 0..<20 { try await server.publish("s", payload) }
            try await waitFor(server) { $0.connectedClients == 0 }
        }
    }

    @Test("a graceful stop ends every request and connection promptly")
    func graceful() async throws {
        try await TestServer.run(configuration: .test { $0.server.idleTimeout = .seconds(600) }) { server in
            let silent = try await server.connect()
            let kept = try await server.connect()
            try await kept.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
            try await kept.text(containing: "404")
            let stream = try await server.connect()
            try await stream.send("GET /v1/subscribe?topic=a HTTP/1.1\r\nHost: a\r\n\r\n")
            try await stream.text(containing: "retry:")
            let poll = try await server.connect()
            try await poll.send(
                "GET /v1/subscribe?topic=a&wait=60 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"
            )
            let socket = try await WebSocketClient.open(server)
            let connected = try await WebSocketClient.open(server)
            try await connected.send(2, WebSocketClient.bytes(.connect(.init(clientID: "c"))))
            _ = try await connected.packets(1)
            // The stream, the session over WebSocket and the poll.
            try await waitFor(server) { $0.connectedClients == 3 }

            let began = NIODeadline.now()
            async let stopped: Void = server.stop()
            #expect(try await silent.untilClosed().isEmpty)
            _ = try await kept.untilClosed()
            #expect(
                try await stream.untilClosed().contains("event: disconnect\ndata: {\"reason\":\"Server shutting down\"")
            )
            #expect(try await poll.untilClosed().hasPrefix("HTTP/1.1 503"))
            #expect(try await socket.frames(.max).first?.payload == [0x03, 0xe9])
            let last = try await connected.packets(.max).last
            #expect(last == .disconnect(.init(reasonCode: .serverShuttingDown)))
            // Long before the poll has waited its time.
            #expect(NIODeadline.now() - began < .seconds(30))
            await stopped
        }
    }
}
