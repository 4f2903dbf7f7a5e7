import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTestSupport
import NIOCore
import NetworkListeners
import Testing

@Suite(.timeLimit(.minutes(1))) struct ConnectionTests {
    @Test(
        "what is no HTTP request is answered and closed",
        arguments: [
            ("nonsense\r\n\r\n", 400), ("GET /a HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
            ("POST /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        ]
    )
    func malformed(text: String, status: Int) async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send(text)
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == status)
            #expect(answer.fields["content-type"] == "text/plain; charset=utf-8")
        }
    }

    @Test("a header is bounded")
    func longHeader() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send("GET /a HTTP/1.1\r\nX: \(String(repeating: "x", count: 20_000))\r\n\r\n")
            #expect(Answer(try await client.untilClosed()).status == 431)
        }
    }

    @Test("a body beyond the limit is refused by its length, and without one when there is too much")
    func largeBodies() async throws {
        let maximumBody = 10_000
        try await PlainServer.run(maximumBody: maximumBody) { server in
            let announced = try await server.connect()
            try await announced.send("POST /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10001\r\n\r\n")
            #expect(try await announced.text(containing: "\r\n\r\na body has at most").hasPrefix("HTTP/1.1 413"))
            let chunked = try await server.connect()
            try await chunked.send("POST /values/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = "7d0\r\n\(String(repeating: "x", count: 2_000))\r\n"
            try await chunked.send(String(repeating: chunk, count: 6))
            #expect(try await chunked.untilClosed().hasPrefix("HTTP/1.1 413"))
            let full = String(repeating: "x", count: 10_000)
            #expect(try await server.request("POST", "/values/a", body: full).status == 200)
        }
    }

    @Test("a body that breaks off is not answered as if it were whole", arguments: [true, false])
    func brokenOff(isChunked: Bool) async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: 100"
            let body = isChunked ? "3\r\nabc\r\n" : "abc"
            try await client.send("PUT /values/a HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n\(body)")
            try await client.finish()
            _ = try await client.untilClosed()
            #expect(try await server.request("GET", "/values/a").status == 404)
        }
    }

    @Test("a body that takes too long is answered with 408")
    func slowBody() async throws {
        try await PlainServer.run(configuration: .test { $0.bodyTimeout = .milliseconds(200) }) { server in
            let client = try await server.connect()
            try await client.send("PUT /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.1 408"))
        }
    }

    @Test("a client that expects 100 gets it before it sends its body")
    func expectations() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send(
                "PUT /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
            )
            #expect(try await client.text(containing: "\r\n\r\n").hasPrefix("HTTP/1.1 100"))
            try await client.send("abc")
            try await client.text(containing: "HTTP/1.1 200")
        }
    }

    @Test("requests that come together are answered in order")
    func pipelining() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            let put = "PUT /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
            try await client.send(
                put + "1GET /values/a HTTP/1.1\r\nHost: a\r\n\r\n" + put
                    + "2GET /values/a HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n"
            )
            let text = try await client.untilClosed()
            #expect(text.split(separator: "HTTP/1.1 200").count == 4)
            #expect(text.hasSuffix("\r\n\r\n2"))
        }
    }

    @Test("thousands of requests that come together are answered in order, whether the responder takes its time or not")
    func longPipeline() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            var requests = ""
            for number in 0..<1_200 {
                let target = number % 150 == 0 ? "/health" : "/nothing/\(number)"
                requests += "GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n"
            }
            try await client.send(requests + "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let text = try await client.untilClosed()
            #expect(text.split(separator: "HTTP/1.1 200").count == 9)
            let numbers = text.split(separator: "nothing is at /nothing/").dropFirst().map {
                Int($0.prefix { $0 != "\n" })
            }
            #expect(numbers == (0..<1_200).filter { $0 % 150 != 0 })
        }
    }

    @Test("a client that has ended its half of the connection still gets its answer")
    func halfClosed() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send("PUT /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1")
            try await client.finish()
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a body whose chunks are no chunks is refused")
    func brokenChunks() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            let head = "PUT /values/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            try await client.send(head + "3\r\nabc\r\nxyz\r\n")
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.1 400"))
            #expect(try await server.request("GET", "/values/a").status == 404)
        }
    }

    @Test("a large value comes whole to a client that reads it late")
    func largeValue() async throws {
        try await PlainServer.run { server in
            let value = String(repeating: "0123456789", count: 100_000)
            let put = try await server.request("PUT", "/values/a", body: value)
            #expect(put.status == 200)
            let client = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            let request = "GET /values/a HTTP/1.1\r\nHost: a\r\n\r\n"
            try await client.send(request + request.replacing("GET", with: "HEAD"))
            try await client.startReading()
            // The answer to HEAD has no body, so the second header ends it.
            let text = try await client.text(containing: "\r\n\r\n", times: 2)
            #expect(text.contains("\r\n\r\n\(value)HTTP/1.1 200"))
        }
    }

    @Test("connections beyond the limit wait until others have ended")
    func connectionLimit() async throws {
        try await PlainServer.run(places: SocketPlaces(Quota.Limit(total: 2, perAddress: 2))) { server in
            let request = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
            let first = [try await server.connect(), try await server.connect()]
            for client in first {
                try await client.send(request)
                try await client.text(containing: "ok")
            }
            let third = try await server.connect()
            try await third.send(request)
            let early = try? await third.bytes(within: .milliseconds(100)) { bytes, _ in !bytes.isEmpty }
            #expect(early == nil)
            try await first[0].close()
            try await third.text(containing: "ok")
        }
    }

    @Test("a try to become something we are not is answered as the request it is")
    func foreignUpgrade() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send(
                "PUT /values/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                    + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\nabc"
            )
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.1 200"))
            #expect(try await server.request("GET", "/values/a").body == "abc")
        }
    }

    @Test("a connection without a request is closed after a while")
    func idle() async throws {
        try await PlainServer.run(configuration: .test { $0.idleTimeout = .milliseconds(100) }) { server in
            let silent = try await server.connect()
            let slow = try await server.connect()
            // It may be closed by now.
            try? await slow.send("GET /a HTTP/1.1\r\nHos")
            #expect(try await silent.untilClosed().isEmpty)
            #expect(try await slow.untilClosed().isEmpty)
        }
    }

    @Test("the header of a later request may take no longer than that of the first, however slowly it comes")
    func slowHeader() async throws {
        try await PlainServer.run(configuration: .test { $0.idleTimeout = .seconds(2) }) { server in
            // On a machine that is slow enough the first request may be late already: then once more.
            for _ in 0..<5 {
                let client = try await server.connect()
                guard (try? await client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")) != nil,
                    (try? await client.text(containing: "nothing is at")) != nil
                else { continue }
                // A timer that starts anew at each byte would go on for ever.
                let deadline = NIODeadline.now() + .seconds(30)
                while NIODeadline.now() < deadline, (try? await client.send("X")) != nil { await Task.yield() }
                #expect(NIODeadline.now() < deadline)
                #expect(try await client.untilClosed().split(separator: "HTTP/1.1 404").count == 1)
                return
            }
            Issue.record("no request was answered")
        }
    }

    @Test("an address that can't be had is an error that names it")
    func addressInUse() async throws {
        try await PlainServer.run { server in
            let error = await #expect(throws: ListenFailed.self) {
                try await Server(
                    configuration: .init(host: "127.0.0.1", port: server.port),
                    responder: TestResponder(),
                    eventLoopGroup: server.eventLoopGroup,
                    places: SocketPlaces(Quota.Limit(total: 10)),
                    bytes: ConnectionBytes(Quota.Limit(total: 0))
                )
                .listen()
            }
            #expect(error?.description.contains("127.0.0.1:\(server.port)") == true)
        }
    }

    @Test("an answer to HTTP/1.1 is one, whatever comes behind the request")
    func versions() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send(
                "GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                    + "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            let text = try await client.untilClosed()
            let versions = text.split(separator: " 200 OK").dropLast().map { $0.suffix(8) }
            #expect(versions == ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1"])
        }
    }

    @Test("connections are kept longer than load balancers keep theirs, which is a minute")
    func idleTime() {
        #expect(Server.Configuration(host: "127.0.0.1", port: 0).idleTimeout > .seconds(60))
    }

    @Test("CONNECT is for proxies")
    func connect() async throws {
        try await PlainServer.run { server in
            let client = try await server.connect()
            try await client.send("CONNECT example.org:80 HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n")
            #expect(Answer(try await client.untilClosed()).status == 501)
        }
    }
}
