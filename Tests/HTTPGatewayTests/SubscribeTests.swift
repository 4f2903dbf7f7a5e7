import BrokerCore
import HTTPGateway
import HTTPServer
import HTTPTestSupport
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct SubscribeTests {
    static let json = ["Accept: application/json"]

    func stream(_ server: TestServer, _ query: String, _ fields: [String] = []) async throws -> RawClient {
        let client = try await server.connect()
        let lines = (["GET /v1/subscribe?\(query) HTTP/1.1", "Host: test"] + fields).joined(separator: "\r\n")
        try await client.send(lines + "\r\n\r\n")
        try await client.text(containing: "retry:")
        return client
    }

    /// The payloads of a stream's events, in order.
    func payloads(_ text: String) -> [String] {
        lines(text).filter { $0.hasPrefix("data: ") }.compactMap { line in
            line.split(separator: "\"payload\":\"").last?.split(separator: "\"", omittingEmptySubsequences: false).first
                .map(String.init)
        }
    }

    /// The lines of a stream and of its chunks.
    func lines(_ text: String) -> [Substring] { text.split { $0 == "\n" || $0 == "\r\n" } }

    func identifiers(_ text: String) -> [String] {
        lines(text).filter { $0.hasPrefix("id: ") }.map { String($0.dropFirst(4)) }
    }

    func next(_ answer: Answer) throws -> String {
        guard let text = answer.body.split(separator: "\"next\":\"").last?.split(separator: "\"").first else {
            throw Unexpected(answer.text)
        }
        return String(text)
    }

    @Test("a stream has the fields that proxies and browsers need")
    func fields() async throws {
        try await TestServer.run { server in
            let client = try await stream(server, "topic=a", ["Accept: text/event-stream"])
            let head = Answer(try await client.text(containing: "retry: "))
            #expect(head.status == 200)
            #expect(head.fields["content-type"] == "text/event-stream")
            #expect(head.fields["cache-control"] == "no-store, no-transform")
            #expect(head.fields["x-accel-buffering"] == "no")
        }
    }

    @Test("messages published back to back come all and in order", arguments: [0, 1, 2])
    func order(qos: Int) async throws {
        try await TestServer.run { server in
            let client = try await stream(server, "topic=s/%23&qos=\(qos)")
            let publisher = try await server.connect()
            for number in 0..<10 {
                try await publisher.send(
                    "POST /publish?topic=s/\(number)&qos=\(qos) HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\(number)"
                )
            }
            let text = try await client.text(containing: "data: ", times: 10)
            #expect(payloads(text) == (0..<10).map(String.init))
            #expect(Set(identifiers(text)).count == 10)
        }
    }

    @Test("a thousand QoS 1 messages pass through a window that is much smaller")
    func throughput() async throws {
        try await TestServer.run(configuration: .test { $0.subscriberMessages = 8 }) { server in
            let client = try await stream(server, "topic=s&qos=1")
            let messages = (0..<1_000).map { #"{"topic":"s","payload":"\#($0)","qos":1}"# }.joined(separator: ",")
            #expect(try await server.request("POST", "/publish", body: "[\(messages)]").status == 200)
            let text = try await client.text(containing: "data: ", times: 1_000)
            #expect(payloads(text) == (0..<1_000).map(String.init))
        }
    }

    @Test("a silent stream says that it lives")
    func heartbeat() async throws {
        try await TestServer.run(configuration: .test { $0.heartbeat = .milliseconds(50) }) { server in
            let client = try await stream(server, "topic=a")
            try await client.text(containing: ":\n\n", times: 2)
        }
    }

    @Test("the subscription of a client that leaves is gone at once")
    func leaving() async throws {
        try await TestServer.run { server in
            let client = try await stream(server, "topic=a")
            try await waitFor(server) { $0.connectedClients == 1 }
            try await client.close()
            try await waitFor(server) { $0.connectedClients == 0 }
        }
    }

    @Test("a client that does not read loses QoS 0, keeps QoS 1 in its bounded queue, and slows nobody")
    func slowReader() async throws {
        var queue = QueueLimits()
        queue.messages = 50
        try await TestServer.run(
            limits: Limits(queue: queue),
            configuration: .test { configuration in
                configuration.subscriberMessages = 10
                configuration.server.shutdownTimeout = .milliseconds(100)
            }
        ) { server in
            let slow = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            try await slow.send("GET /v1/subscribe?topic=s&qos=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            let fast = try await stream(server, "topic=s&qos=0")
            try await waitFor(server) { $0.connectedClients == 2 }
            let payload = String(repeating: "x", count: 100_000)
            for _ in 0..<200 { try await server.publish("s", payload, query: "&qos=1") }
            try await fast.text(containing: "id: ", times: 200)
            // Fifty wait and ten are on their way; what fits into the socket has been written.
            let dropped = await server.onCore { $0.statistics.dropped }
            #expect(dropped > 50)
            for _ in 0..<20 { try await server.publish("s", payload) }
            let droppedThen = await server.onCore { $0.statistics.dropped }
            // Of QoS 0 the newest wait.
            #expect(droppedThen >= dropped + 10)

            // What was kept comes, the newest last.
            try await server.publish("s", "the last", query: "&qos=1")
            try await slow.startReading()
            try await slow.text(containing: "the last")
        }
    }

    @Test("all retained messages come, though far fewer may be on their way", arguments: [0, 1])
    func retained(qos: Int) async throws {
        try await TestServer.run(configuration: .test { $0.subscriberMessages = 8 }) { server in
            let messages = (0..<500).map { #"{"topic":"r/\#($0)","payload":"\#($0)","retain":true,"qos":1}"# }
            #expect(
                try await server.request("POST", "/publish", body: "[\(messages.joined(separator: ","))]").status == 200
            )
            let client = try await stream(server, "topic=r/%23&qos=\(qos)")
            let text = try await client.text(containing: "data: ", times: 500)
            #expect(Set(payloads(text)) == Set((0..<500).map(String.init)))
            #expect(await server.onCore { $0.statistics.dropped } == 0)
        }
    }

    @Test("polls without a session get all retained messages, batch after batch")
    func retainedByPolls() async throws {
        try await TestServer.run(configuration: .test { $0.subscriberMessages = 8 }) { server in
            let messages = (0..<50).map { #"{"topic":"r/\#($0)","payload":"\#($0)","retain":true}"# }
            _ = try await server.request("POST", "/publish", body: "[\(messages.joined(separator: ","))]")
            var cursor = ""
            var count = 0
            for _ in 0..<50 where count < 50 {
                let answer = try await server.request("GET", "/v1/subscribe?topic=r/%23&wait=5\(cursor)", Self.json)
                count += answer.body.split(separator: "\"payload\":").count - 1
                cursor = "&cursor=\(try next(answer))"
            }
            #expect(count == 50)
        }
    }

    @Test("a client that is too slow gets the newest of QoS 0, and is told how many it has missed")
    func newest() async throws {
        try await TestServer.run(
            configuration: .test { configuration in
                configuration.subscriberMessages = 10
                configuration.server.shutdownTimeout = .milliseconds(100)
            }
        ) { server in
            let slow = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            try await slow.send("GET /v1/subscribe?topic=s HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
            try await waitFor(server) { $0.connectedClients == 1 }
            let payload = String(repeating: "x", count: 100_000)
            for number in 0..<200 { try await server.publish("s", "\(number) \(payload)") }
            #expect(await server.onCore { $0.statistics.dropped } > 0)
            try await server.publish("s", "the last")
            try await slow.startReading()
            let text = try await slow.text(containing: "the last")
            let told = text.matches(of: /event: dropped\ndata: {"count":(\d+)}/).compactMap { Int($0.output.1) }
            let dropped = await server.onCore { Int($0.statistics.dropped) }
            #expect(told.reduce(0, +) == dropped)
        }
    }

    @Test("a client that does not read is disconnected when that is the policy")
    func slowReaderDisconnected() async throws {
        var queue = QueueLimits()
        queue.messages = 5
        queue.whenFull = .disconnect
        try await TestServer.run(limits: Limits(queue: queue), configuration: .test { $0.subscriberMessages = 5 }) {
            server in
            let slow = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            try await slow.send("GET /v1/subscribe?topic=s&qos=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            try await waitFor(server) { $0.connectedClients == 1 }
            let payload = String(repeating: "x", count: 500_000)
            for _ in 0..<40 { try await server.publish("s", payload, query: "&qos=1") }
            try await waitFor(server) { $0.connectedClients == 0 }
        }
    }
}
