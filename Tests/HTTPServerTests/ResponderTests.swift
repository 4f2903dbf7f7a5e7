import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTestSupport
import NIOConcurrencyHelpers
import NIOCore
import NetworkListeners
import Testing

/// What a server asks its responder, and what it does by itself.
@Suite(.timeLimit(.minutes(1))) struct ResponderTests {
    @Test("a responder has routes of its own, and answers at once or later")
    func routes() async throws {
        try await PlainServer.run { server in
            let health = try await server.request("GET", "/health")
            #expect(health.status == 200 && health.body == #"{"status":"ok"}"#)
            #expect(health.fields["date"]?.hasSuffix(" GMT") == true)
            #expect(try await server.request("PUT", "/values/a", body: "1").status == 200)
            #expect(try await server.request("GET", "/values/a?query=1").body == "1")
            let head = try await server.request("HEAD", "/values/a")
            #expect(head.body.isEmpty && head.fields["content-length"] == "1")
        }
    }

    @Test("the words of a refusal are the responder's; without any it is the detail as plain text")
    func refusals() async throws {
        try await PlainServer.run { server in
            let answer = try await server.request("GET", "/health", ["Origin: https://evil.example"])
            #expect(answer.status == 403 && answer.body.hasPrefix("pages of https://evil.example may not use"))
            #expect(answer.fields["content-type"] == "text/plain; charset=utf-8")
            #expect(answer.fields["cache-control"] == "no-store")
            let head = try await server.request("HEAD", "/nothing/here")
            #expect(head.status == 404 && head.body.isEmpty)
        }
    }

    @Test("a request that is refused by its head is answered before its body has come")
    func refusedByHead() async throws {
        try await PlainServer.run { server in
            for (method, path, status) in [("PATCH", "/values/a", 405), ("PUT", "/nothing/admitted", 404)] {
                let client = try await server.connect()
                try await client.send("\(method) \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
                let answer = Answer(try await client.untilClosed())
                #expect(answer.status == status && answer.fields["connection"] == "close")
            }
        }
    }

    @Test("a stream is written as it goes, and ends by its responder or with its client")
    func streams() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            try await client.text(containing: "open")
            server.responder.tellStreams("one")
            server.responder.tellStreams("two")
            try await client.text(containing: "two")
            server.responder.endStreams()
            #expect(try await client.untilClosed().hasSuffix("0\r\n\r\n"))
            let leaving = try await server.connect()
            try await leaving.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            try await leaving.text(containing: "open")
            try await leaving.close()
            let deadline = NIODeadline.now() + .seconds(30)
            while server.responder.endedStreams < 2, NIODeadline.now() < deadline { await Task.yield() }
            #expect(server.responder.endedStreams == 2)
        }
    }

    @Test("a client that reads nothing of a stream is closed after a while")
    func stalled() async throws {
        try await PlainServer.run(configuration: .test { $0.stallTimeout = .milliseconds(300) }) { server in
            let client = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            try await client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            // More than the sockets' buffers hold, as soon as there is a stream.
            let text = String(repeating: "x", count: 1_000_000)
            let deadline = NIODeadline.now() + .seconds(30)
            while server.responder.endedStreams == 0, NIODeadline.now() < deadline {
                server.responder.tellStreams(text)
                await Task.yield()
            }
            #expect(server.responder.endedStreams == 1)
        }
    }

    @Test("a server that stops ends what is idle, and streams after the time that they have")
    func graceful() async throws {
        try await PlainServer.run(configuration: .test { $0.shutdownTimeout = .milliseconds(100) }) { server in
            let silent = try await server.connect()
            let kept = try await server.connect()
            try await kept.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            try await kept.text(containing: "ok")
            let stream = try await server.connect()
            try await stream.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            try await stream.text(containing: "open")
            async let stopped: Void = server.stop()
            #expect(try await silent.untilClosed().isEmpty)
            _ = try await kept.untilClosed()
            _ = try await stream.untilClosed()
            await stopped
        }
    }

    @Test("the log has what is no HTTP, and who was refused")
    func log() async throws {
        let kinds = NIOLockedValueBox<[Event.Kind]>([])
        let events = EventLog(from: .debug) { event in kinds.withLockedValue { $0.append(event.kind) } }
        try await PlainServer.run(events: events) { server in
            let client = try await server.connect()
            try await client.send("nonsense\r\n\r\n")
            _ = try await client.untilClosed()
            _ = try await server.request("GET", "/nothing")
            _ = try await server.request("GET", "/health", ["Origin: https://evil.example"])
        }
        #expect(
            kinds.withLockedValue(\.self) == [.listenerBound, .clientRefused, .requestRefused, .clientRefused]
        )
    }

    @Test("a trusted proxy's word on the client's address is given to the responder, and nobody else's")
    func addresses() async throws {
        let loopback = TrustedProxies([AddressRange("127.0.0.0/8")].compactMap(\.self))
        let forwarded = ["X-Forwarded-For: 203.0.113.7"]
        try await PlainServer.run { server in
            let answer = try await server.request("GET", "/address", forwarded)
            #expect(answer.body.hasPrefix("127.0.0.1:"))
        }
        try await PlainServer.run(configuration: .test { $0.trustedProxies = loopback }) { server in
            let answer = try await server.request("GET", "/address", forwarded)
            #expect(answer.body == "203.0.113.7")
        }
    }
}
