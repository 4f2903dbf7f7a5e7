import BrokerCore
import HTTPGateway
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

/// Request and response (MQTT 5.0 §4.10), with an MQTT client that responds.
@Suite(.timeLimit(.minutes(1))) struct RequestResponseTests {
    /// Answers the requests that come, each with what `respond` makes of it.
    private func responder(
        _ server: TestServer,
        _ respond: (Publish) -> [Publish],
        during body: @escaping @Sendable () async throws -> Answer
    ) async throws -> Answer {
        let socket = try await WebSocketClient.open(server)
        let connect = WebSocketClient.bytes(.connect(Connect(clientID: "lamp")))
        let subscribe = WebSocketClient.bytes(
            .subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "lamps/#")]))
        )
        try await socket.send(2, connect + subscribe)
        _ = try await socket.packets(2)
        async let answer = body()
        for packet in try await socket.packets(3) {
            guard case .publish(let request) = packet else { continue }
            for response in respond(request) { try await socket.send(2, WebSocketClient.bytes(.publish(response))) }
        }
        return try await answer
    }

    private func response(to request: Publish, _ text: String, correlated: Bool = true) throws -> Publish {
        var properties = PublishProperties()
        properties.contentType = "text/x-lamp"
        properties.userProperties = [UserProperty("k", "v")]
        if correlated { properties.correlationData = request.properties.correlationData }
        return Publish(
            topic: try TopicName(request.properties.responseTopic ?? "none"),
            payload: ByteBuffer(string: text),
            properties: properties
        )
    }

    @Test("the response is the answer, with its type and properties; others are not")
    func responds() async throws {
        try await TestServer.run { server in
            let answer = try await responder(server) { request in
                [
                    try? response(to: request, "not it", correlated: false),
                    try? response(to: request, "got \(String(buffer: request.payload))"),
                ].compactMap(\.self)
            } during: {
                try await server.request("POST", "/v1/request/lamps/1?timeout=30", body: "on?")
            }
            #expect(answer.status == 200)
            #expect(answer.body == "got on?")
            #expect(answer.fields["content-type"] == "text/x-lamp")
            #expect(answer.fields["x-mqtt-user-property"] == "k=v")
            try await waitFor(server) { $0.connectedClients == 1 }
        }
    }

    @Test("Response Topic and Correlation Data may be the client's own")
    func ownNames() async throws {
        try await TestServer.run { server in
            let answer = try await responder(server) { request in
                #expect(request.properties.responseTopic == "my/reply")
                #expect(request.properties.correlationData == ByteBuffer(string: "7"))
                return [try? response(to: request, "yes")].compactMap(\.self)
            } during: {
                let target = "/v1/request/lamps/1?timeout=30&response_topic=my/reply&correlation_data=7"
                return try await server.request("POST", target, body: "?")
            }
            #expect(answer.body == "yes")
        }
    }

    @Test("no response in time is 504, and nobody to respond is, too, at once")
    func timeout() async throws {
        try await TestServer.run { server in
            let nobody = try await server.request("POST", "/v1/request/lamps/1?timeout=60", body: "?")
            #expect(nobody.status == 504)
            #expect(nobody.body.contains("No matching subscribers"))
            let silent = try await responder(server) { _ in
                []
            } during: {
                try await server.request("POST", "/v1/request/lamps/1?timeout=1", body: "?")
            }
            #expect(silent.status == 504)
            #expect(silent.body.contains("no response came"))
        }
    }

    @Test("access rules go for the topic and for the Response Topic")
    func access() async throws {
        try await TestServer.run(access: AccessTable(["ann": "secret"], allowsAnonymous: false)) { server in
            let ann = ["Authorization: Basic YW5uOnNlY3JldA=="]
            #expect(try await server.request("POST", "/v1/request/ann/a", body: "?").status == 401)
            let reply = try await server.request("POST", "/v1/request/ann/a?response_topic=bob/a", ann, body: "?")
            #expect(reply.status == 403)
            #expect(reply.body.contains("the Response Topic bob/a"))
            let topic = try await server.request("POST", "/v1/request/bob/a?response_topic=ann/r", ann, body: "?")
            #expect(topic.status == 403)
        }
    }
}
