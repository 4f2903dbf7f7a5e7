import BrokerCore
import CoreRuntime
import HTTPGateway
import HTTPServer
import HTTPTestSupport
import NIOCore
import NetworkListeners
import Testing

/// What all HTTP clients share, and one address has a part of.
@Suite(.timeLimit(.minutes(1))) struct ShareTests {
    private static let json = ["Accept: application/json"]

    private static func behindProxy() -> HTTPListener.Configuration {
        .test {
            $0.server.trustedProxies = TrustedProxies([AddressRange("127.0.0.0/8")].compactMap(\.self))
            $0.server.expectsProxyProtocol = true
        }
    }

    private static func header(_ address: String) -> String { "PROXY TCP4 \(address) 127.0.0.1 4711 80\r\n" }

    private static let health = "GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n"

    // MARK: Connections

    @Test("one more connection of an address that has its share is closed at once, and one that has ended makes room")
    func connections() async throws {
        let refusals = Refusals()
        let places = SocketPlaces(Quota.Limit(total: 100, perAddress: 2), refusals: refusals)
        try await TestServer.run(places: places) { server in
            let first = [try await server.connect(), try await server.connect()]
            for client in first {
                try await client.send(Self.health)
                try await client.text(containing: "ok")
            }
            #expect(try await server.connect().untilClosed().isEmpty)
            #expect(refusals.count(.connections) == 1)
            try await first[0].close()
            try await waitFor(server) { _ in places.count <= 1 }
            #expect(try await server.request("GET", "/v1/health").status == 200)
        }
    }

    @Test("behind a proxy it is the client's address whose share counts, once the proxy has said it")
    func proxied() async throws {
        let places = SocketPlaces(Quota.Limit(total: 100, perAddress: 1))
        try await TestServer.run(places: places, configuration: Self.behindProxy()) { server in
            var clients: [RawClient] = []
            for address in ["203.0.113.1", "203.0.113.2"] {
                let client = try await server.connect()
                try await client.send(Self.header(address) + Self.health)
                try await client.text(containing: "ok")
                clients.append(client)
            }
            let second = try await server.connect()
            try await second.send(Self.header("203.0.113.1") + Self.health)
            #expect(try await second.untilClosed().isEmpty)
            // What the proxy asks for itself has no share.
            for _ in 0..<2 {
                let own = try await server.connect()
                try await own.send("PROXY UNKNOWN\r\n" + Self.health)
                try await own.text(containing: "ok")
                clients.append(own)
            }
            #expect(places.count >= 4)
        }
    }

    // MARK: Bytes of connections

    @Test("bodies under way are counted: beyond an address's share they are refused in words, until others are done")
    func bodies() async throws {
        var limits = Limits()
        limits.connectionBytes = 200_000
        try await TestServer.run(limits: limits) { server in
            let head = "PUT /v1/topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"
            let part = String(repeating: "x", count: 50_000)
            let first = try await server.connect()
            try await first.send(head + part)
            // The body is half there once the server has counted it.
            try await waitFor(server) { _ in server.bytes.used >= 50_000 }
            let second = try await server.connect()
            try await second.send(head + part)
            let answer = Answer(try await second.text(containing: "\"reason_code\":151"))
            #expect(answer.status == 429)
            #expect(answer.fields["retry-after"] != nil)
            try await first.send(String(repeating: "x", count: 10_000))
            #expect(try await first.text(containing: "}").hasPrefix("HTTP/1.1 200"))
            #expect(try await server.request("PUT", "/v1/topics/a", body: part).status == 200)
            try await waitFor(server) { _ in server.bytes.used == 0 }
        }
    }

    @Test("a header that is not whole is counted, too")
    func headers() async throws {
        var limits = Limits()
        limits.connectionBytes = 20_000
        try await TestServer.run(limits: limits) { server in
            let client = try await server.connect()
            try await client.send("GET /a HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 6_000))")
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.1 429"))
            // Also when it comes along with a request that is whole.
            let behind = try await server.connect()
            try await behind.send(
                Self.health + "GET /a HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 6_000))"
            )
            #expect(try await behind.untilClosed().hasPrefix("HTTP/1.1 200"))
            let whole = "GET /v1/health HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 6_000))\r\n\r\n"
            let other = try await server.connect()
            try await other.send(whole)
            try await other.text(containing: "ok")
        }
    }

    @Test("answers that are not read are counted: one more is 429, and so until they are read")
    func answers() async throws {
        var limits = Limits()
        limits.maximumPacketSize = 32 * 1_024 * 1_024
        limits.connectionBytes = 80 * 1_024 * 1_024
        try await TestServer.run(limits: limits) { server in
            let value = String(repeating: "0123456789abcdef", count: 1_000_000)
            #expect(try await server.request("PUT", "/v1/topics/a", body: value).status == 200)
            try await waitFor(server) { _ in server.bytes.used == 0 }
            var silent: [RawClient] = []
            for number in 1...2 {
                let client = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
                try await client.send("GET /v1/topics/a HTTP/1.1\r\nHost: a\r\n\r\n")
                try await waitFor(server) { _ in server.bytes.used >= number * 16_000_000 }
                silent.append(client)
            }
            let third = try await server.request("GET", "/v1/topics/a")
            #expect(third.status == 429)
            for client in silent { try await client.close() }
            try await waitFor(server) { _ in server.bytes.used == 0 }
            #expect(try await server.request("GET", "/v1/topics/a").status == 200)
        }
    }

    @Test("a sluice.json message in parts is counted: beyond the share it is closed with 1013")
    func messages() async throws {
        var limits = Limits()
        limits.connectionBytes = 200_000
        try await TestServer.run(limits: limits) { server in
            let client = try await JSONClient.open(server)
            // A text frame that is not the last one.
            try await client.socket.send(1, Array(repeating: UInt8(ascii: "x"), count: 60_000), isFinal: false)
            try await waitFor(server) { _ in server.bytes.used >= 60_000 }
            try await client.socket.send(0, Array(repeating: UInt8(ascii: "x"), count: 60_000), isFinal: false)
            #expect(try await client.untilClosed().code == 1_013)
        }
    }

    // MARK: Long-polls

    @Test("long-polls of one address are bounded: the one that nobody asks for longest gives way, others stay")
    func polls() async throws {
        var limits = Limits()
        limits.connections = 8
        try await TestServer.run(limits: limits) { server in
            var cursors: [String] = []
            for _ in 0..<3 {
                let answer = try await server.request("GET", "/v1/subscribe?topic=a&wait=0", Self.json)
                #expect(answer.status == 200)
                let cursor = try #require(answer.body.firstMatch(of: /"next":"([^"]+)"/)?.output.1)
                cursors.append(String(cursor))
                try await waitFor(server) { $0.connectedClients <= 2 }
            }
            let gone = try await server.request("GET", "/v1/subscribe?cursor=\(cursors[0])&wait=0", Self.json)
            #expect(gone.status == 404)
            for cursor in cursors.dropFirst() {
                let answer = try await server.request("GET", "/v1/subscribe?cursor=\(cursor)&wait=0", Self.json)
                #expect(answer.status == 200)
            }
        }
    }

    @Test("a long-poll that waits does not give way: one more is told 429, and when to try again")
    func waitingPolls() async throws {
        var limits = Limits()
        limits.connections = 8
        try await TestServer.run(limits: limits) { server in
            var waiting: [RawClient] = []
            for number in 1...2 {
                let client = try await server.connect()
                try await client.send(
                    "GET /v1/subscribe?topic=a&wait=50 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"
                )
                try await waitFor(server) { $0.connectedClients == number }
                waiting.append(client)
            }
            let answer = try await server.request("GET", "/v1/subscribe?topic=a&wait=0", Self.json)
            #expect(answer.status == 429)
            #expect(answer.fields["retry-after"] != nil)
            #expect(answer.fields["content-type"] == "application/problem+json")
            try await server.publish("a", "hello")
            for client in waiting { try await client.text(containing: "hello") }
        }
    }
}
