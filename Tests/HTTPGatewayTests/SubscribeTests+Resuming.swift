import BrokerCore
import HTTPGateway
import HTTPTestSupport
import NIOCore
import Testing

// Persistent sessions that go on after the last event, and long-polls.
extension SubscribeTests {
    @Test("a persistent session resumes after the last event that the client has")
    func resume() async throws {
        try await TestServer.run { server in
            let session = "topic=p&qos=1&clientid=dash&clean=0&se=600"
            let first = try await stream(server, session)
            try await server.publish("p", "1", query: "&qos=1")
            try await server.publish("p", "2", query: "&qos=1")
            let seen = identifiers(try await first.text(containing: "data: ", times: 2))
            try await first.close()
            try await waitFor(server) { $0.connectedClients == 0 }
            try await server.publish("p", "3", query: "&qos=1")

            let second = try await stream(server, session, ["Last-Event-ID: \(seen[0])"])
            let text = try await second.text(containing: "data: ", times: 2)
            #expect(payloads(text) == ["2", "3"])
            #expect(text.contains(#""dup":true,"payload":"2""#))
            #expect(!text.contains("event: reset"))
            #expect(identifiers(text).first == seen[1])
            try await second.close()
            try await waitFor(server) { $0.connectedClients == 0 }

            let all = try await stream(server, session, ["Last-Event-ID: \(identifiers(text)[1])"])
            try await server.publish("p", "4", query: "&qos=1")
            #expect(payloads(try await all.text(containing: "data: ")) == ["4"])
        }
    }

    @Test("lines of JSON are acknowledged and resumed by their id, too")
    func resumeLines() async throws {
        try await TestServer.run { server in
            func lines(_ query: String, containing part: String, times: Int) async throws -> [Substring] {
                let client = try await server.connect()
                let target = "/v1/subscribe?topic=p&qos=1&clientid=lines&clean=0\(query)"
                try await client.send("GET \(target) HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n")
                let text = try await client.text(containing: part, times: times)
                try await client.close()
                try await waitFor(server) { $0.connectedClients == 0 }
                return self.lines(text).filter { $0.hasPrefix("{") }
            }
            _ = try await lines("", containing: "\r\n\r\n", times: 1)
            for number in 1...3 { try await server.publish("p", "\(number)", query: "&qos=1") }
            let all = try await lines("", containing: "\"payload\"", times: 3)
            let second = try #require(all[1].firstMatch(of: /"id":"([^"]+)"/)?.output.1)
            let rest = try await lines("&last_event_id=\(second)", containing: "\"payload\"", times: 1)
            #expect(rest.count == 1 && rest[0].contains(#""dup":true"#) && rest[0].contains(#""payload":"3""#))
        }
    }

    @Test("a last event that is not of this session brings a reset, never silence")
    func reset() async throws {
        try await TestServer.run { server in
            let client = try await stream(server, "topic=p&clientid=d&clean=0", ["Last-Event-ID: another.7"])
            try await client.text(containing: "event: reset")
            let anonymous = try await stream(server, "topic=p&last_event_id=x")
            try await anonymous.text(containing: "event: reset")
        }
    }

    @Test("a newer stream of the same session takes over")
    func takeover() async throws {
        try await TestServer.run { server in
            let first = try await stream(server, "topic=p&clientid=d&clean=0")
            let second = try await stream(server, "clientid=d&clean=0")
            #expect(try await first.text(containing: "event: takeover").contains(#""reason_code":142"#))
            try await server.publish("p", "x")
            try await second.text(containing: "data: ")
        }
    }

    @Test("what was written long ago counts as read, so that a long stream never stalls")
    func replayWindow() async throws {
        try await TestServer.run(configuration: .test { $0.replayWindow = 5 }) { server in
            let session = "topic=p&qos=1&clientid=d&clean=0"
            let client = try await stream(server, session)
            for number in 0..<40 { try await server.publish("p", "\(number)", query: "&qos=1") }
            let text = try await client.text(containing: "data: ", times: 40)
            #expect(payloads(text).last == "39")
            let seen = identifiers(text)
            try await client.close()
            try await waitFor(server) { $0.connectedClients == 0 }
            // The newest five can be had again, and a client that has less than the others is told.
            let enough = try await stream(server, session, ["Last-Event-ID: \(seen[34])"])
            let rest = try await enough.text(containing: "data: ", times: 5)
            #expect(payloads(rest) == (35..<40).map(String.init))
            #expect(!rest.contains("event: reset"))
            try await enough.close()
            try await waitFor(server) { $0.connectedClients == 0 }
            let late = try await stream(server, session, ["Last-Event-ID: \(seen[33])"])
            let told = try await late.text(containing: "data: ", times: 5)
            #expect(payloads(told).suffix(5) == (35..<40).map(String.init))
            #expect(told.contains("event: reset"))
        }
    }

    @Test("what was written long enough ago counts as read, too")
    func replayTime() async throws {
        try await TestServer.run(
            configuration: .test { configuration in
                configuration.replayTime = .zero
                configuration.heartbeat = .milliseconds(100)
            }
        ) { server in
            let session = "topic=p&qos=1&clientid=d&clean=0"
            let client = try await stream(server, session)
            try await server.publish("p", "1", query: "&qos=1")
            // The first heartbeat after the message is the first time to look, and the second one comes after that.
            _ = try await client.bytes { bytes, _ in
                let parts = String(decoding: bytes, as: UTF8.self).split(separator: "data: ", maxSplits: 1)
                return parts.count == 2
                    && parts[1].split(separator: ":\n\n", omittingEmptySubsequences: false).count > 2
            }
            try await client.close()
            try await waitFor(server) { $0.connectedClients == 0 }
            try await server.publish("p", "2", query: "&qos=1")
            let again = try await stream(server, session)
            #expect(payloads(try await again.text(containing: "data: ")) == ["2"])
        }
    }

    @Test("a long-poll answers when something comes, and the next one acknowledges it")
    func longPoll() async throws {
        try await TestServer.run { server in
            let opened = try await server.request("GET", "/v1/subscribe?topic=a&qos=1&wait=0", Self.json)
            #expect(opened.status == 200)
            #expect(opened.body.contains(#""messages":[]"#))
            let cursor = try next(opened)
            try await server.publish("a", "1", query: "&qos=1")
            try await server.publish("a", "2")
            let first = try await server.request("GET", "/v1/subscribe?cursor=\(cursor)&wait=5", Self.json)
            #expect(first.body.contains(#""payload":"1""#))
            let again = try await server.request("GET", "/v1/subscribe?cursor=\(cursor)&wait=5", Self.json)
            #expect(again.body == first.body)

            let waiting = try await server.connect()
            try await waiting.send(
                "GET /v1/subscribe?cursor=\(try next(first))&wait=30 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"
            )
            try await server.publish("a", "3")
            let third = try await waiting.text(containing: "\"next\"")
            #expect(third.contains(#""payload":"3""#))
            #expect(!third.contains(#""payload":"2""#))
            let stale = try await server.request("GET", "/v1/subscribe?cursor=\(cursor)", Self.json)
            #expect(stale.status == 409)
        }
    }

    @Test("max bounds a batch, and the rest comes with the next one")
    func batches() async throws {
        try await TestServer.run { server in
            let target = "/v1/subscribe?qos=1&wait=5&max=2"
            var cursor = try next(
                try await server.request("GET", "\(target)&topic=a&wait=0".replacing("wait=5&", with: ""), Self.json)
            )
            for number in 0..<5 { try await server.publish("a", "\(number)", query: "&qos=1") }
            for expected in [2, 2, 1] {
                let answer = try await server.request("GET", "\(target)&cursor=\(cursor)", Self.json)
                #expect(answer.body.split(separator: "\"payload\"").count - 1 == expected)
                cursor = try next(answer)
            }
        }
    }

    @Test("a poll nobody comes back to ends its subscription; nobody else can go on with it")
    func pollTimeout() async throws {
        let access = AccessTable(["ann": "secret"], allowsAnonymous: true)
        try await TestServer.run(access: access, configuration: .test { $0.pollTimeout = .milliseconds(300) }) {
            server in
            let ann = ["Authorization: Basic YW5uOnNlY3JldA=="]
            let opened = try await server.request("GET", "/v1/subscribe?topic=ann/a&wait=0", Self.json + ann)
            let cursor = try next(opened)
            #expect(try await server.request("GET", "/v1/subscribe?cursor=\(cursor)", Self.json).status == 404)
            try await waitFor(server) { $0.connectedClients == 0 }
            let late = try await server.request("GET", "/v1/subscribe?cursor=\(cursor)&wait=0", Self.json + ann)
            #expect(late.status == 404)
        }
    }

    @Test("a persistent session polls with the cursor of its last message")
    func persistentPoll() async throws {
        try await TestServer.run { server in
            let target = "/v1/subscribe?topic=a&qos=1&clientid=c&clean=0&wait=0"
            let opened = try await server.request("GET", target, Self.json)
            for number in 0..<3 { try await server.publish("a", "\(number)", query: "&qos=1") }
            let first = try await server.request("GET", "\(target)&max=2&cursor=\(try next(opened))", Self.json)
            #expect(first.body.contains(#""payload":"1""#))
            #expect(!first.body.contains(#""payload":"2""#))
            let again = try await server.request("GET", "\(target)&max=2&cursor=\(try next(opened))", Self.json)
            #expect(again.body.contains(#""payload":"0""#))
            let second = try await server.request("GET", "\(target)&cursor=\(try next(first))", Self.json)
            #expect(second.body.contains(#""payload":"2""#))
            #expect(!second.body.contains(#""payload":"1""#))
            let unknown = try await server.request("GET", "\(target)&cursor=x.1", Self.json)
            #expect(unknown.body.contains(#""reset":true"#))
        }
    }

    @Test("retained messages come first, as for MQTT")
    func retained() async throws {
        try await TestServer.run { server in
            try await server.publish("r/a", "kept", query: "&retain=1")
            let client = try await stream(server, "topic=r/%2B")
            let text = try await client.text(containing: "data: ")
            #expect(text.contains(#""retain":true"#))
            let poll = try await server.request("GET", "/v1/subscribe?topic=r/%23&wait=0", Self.json)
            #expect(poll.body.contains("kept"))
        }
    }
}
