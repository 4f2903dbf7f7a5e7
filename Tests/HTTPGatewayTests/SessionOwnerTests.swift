import BrokerCore
import HTTPGateway
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Whose session a `clientid` names, over HTTP and WebSocket.
@Suite(.timeLimit(.minutes(1))) struct SessionOwnerTests {
    private static let ann = "Authorization: Basic YW5uOnNlY3JldA=="
    private static let bob = "Authorization: Basic Ym9iOnNlY3JldA=="

    /// A server at which ann has a session with the Client Identifier `meter`.
    private func run(
        _ test: @escaping @Sendable (TestServer, VirtualConnection) async throws -> Void
    ) async throws {
        let access = AccessTable(["ann": "secret", "bob": "secret"], allowsAnonymous: true)
        try await TestServer.run(access: access) { server in
            let owner = VirtualConnection(
                transportProtocol: .mqtt,
                remoteAddress: "test",
                outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
            )
            let isConnected = await server.onCore { broker in
                let request = ConnectRequest(
                    clientID: "meter",
                    cleanStart: false,
                    sessionExpiryInterval: 100,
                    userName: "ann",
                    password: ByteBuffer(string: "secret")
                )
                broker.connect(request, on: owner) { _ in }
                return owner.isConnected
            }
            #expect(isConnected)
            try await test(server, owner)
            #expect(await server.onCore { _ in owner.isConnected })
        }
    }

    @Test(
        "another user's clientid is 403, whatever is asked for",
        arguments: [[SessionOwnerTests.bob], []],
        [
            ("POST", "/publish?topic=open/a"), ("PUT", "/v1/topics/open/a?"), ("GET", "/v1/topics/open/a?"),
            ("GET", "/v1/subscribe?topic=open/a&wait=0"), ("GET", "/v1/subscribe?topic=open/a&wait=0&clean=0"),
            ("GET", "/v1/subscribe?wait=0&clean=0"), ("POST", "/v1/request/open/a?timeout=1"), ("POST", "/v1/token?"),
        ]
    )
    func foreign(credentials: [String], request: (method: String, target: String)) async throws {
        try await run { server, _ in
            let target = request.target + "&clientid=meter"
            let fields = credentials + ["Accept: application/json"]
            let answer = try await server.request(
                request.method,
                target,
                fields,
                body: request.method == "GET" ? nil : "x"
            )
            #expect(answer.status == 403, "\(answer.text)")
            #expect(answer.body.contains("\"reason_code\":133"))
            #expect(await server.onCore { $0.statistics.published } == 0)
        }
    }

    @Test("sluice.json is refused another user's clientid", arguments: [#","username":"bob","password":"secret""#, ""])
    func socket(credentials: String) async throws {
        try await run { server, _ in
            let connect = #"{"op":"connect","clientid":"meter""# + credentials + "}"
            let client = try await JSONClient.open(server, connect: nil)
            try await client.send(connect)
            #expect(try await client.answers(1).first?.contains("\"reason_code\":133") == true)
        }
    }

    @Test("the owner's request leaves the session alone, an Idempotency-Key of its clientid is his")
    func own() async throws {
        try await run { server, _ in
            let fields = [Self.ann, "Idempotency-Key: k"]
            let answer = try await server.request("POST", "/publish?topic=open/a&clientid=meter", fields, body: "x")
            #expect(answer.status == 200)
        }
    }

    @Test("rights that are withdrawn hold for what waits between two polls", arguments: ["", "&clientid=p&clean=0"])
    func withdrawn(session: String) async throws {
        let access = AccessTable(["ann": "secret"], allowsAnonymous: true)
        try await TestServer.run(access: access) { server in
            let fields = [Self.ann, "Accept: application/json"]
            let target = "/v1/subscribe?topic=open/%23&qos=1\(session)"
            let first = try await server.request("GET", target + "&wait=0", fields)
            let cursor = try #require(first.body.split(separator: "\"").last { $0.contains(".") })
            for topic in ["open/secret", "open/a"] { try await server.publish(topic, topic, query: "&qos=1") }
            access.hide("open/secret")
            await server.onCore { $0.permissionsChanged() }
            let second = try await server.request("GET", target + "&wait=1&cursor=\(cursor)", fields)
            #expect(!second.body.contains("open/secret"), "\(second.text)")
            if !session.isEmpty { #expect(second.body.contains("open/a")) }
        }
    }

    @Test("a clientid that MQTT can't say is 400", arguments: ["a%00b", "%00webhook:orders"])
    func unsayable(clientID: String) async throws {
        try await TestServer.run { server in
            let answer = try await server.request("POST", "/publish?topic=a&clientid=\(clientID)", body: "x")
            #expect(answer.status == 400)
        }
    }

    @Test("Idempotency-Keys and the clientid of a session token are the same only byte for byte")
    func exactNames() async throws {
        try await TestServer.run { server in
            for (number, name) in ["e%CC%81", "%C3%A9"].enumerated() {
                let fields = ["Idempotency-Key: k"]
                let answer = try await server.request(
                    "POST",
                    "/publish?topic=a&clientid=\(name)",
                    fields,
                    body: "\(number)"
                )
                #expect(answer.status == 200)
            }
            let token = try await server.request("POST", "/v1/token?clientid=e%CC%81").body
            let text = try #require(token.split(separator: "\"").dropFirst(2).first { $0 != ":" })
            let bearer = "Authorization: Bearer \(text)"
            let other = try await server.request("POST", "/publish?topic=a&clientid=%C3%A9", [bearer], body: "x")
            #expect(other.status == 403)
        }
    }
}
