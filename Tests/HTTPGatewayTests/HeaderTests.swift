import BrokerCore
import HTTPGateway
import HTTPTestSupport
import HTTPTypes
import MQTTCodec
import NIOCore
import Testing

/// What stands in headers, which proxies and small clients limit and spell in their own ways.
@Suite(.timeLimit(.minutes(1))) struct HeaderTests {
    @Test(
        "a User Property is written as a field and read back, whatever its letters",
        arguments: [
            (UserProperty("unit", "C"), "unit=C"), (UserProperty("room", "K\u{fc}che"), #"room=%"K%c3%bcche""#),
            (UserProperty("a=b", "c=d"), #"%"a=b"=c=d"#), (UserProperty("q", #"%"x""#), #"q=%"%25%22x%22""#),
            (UserProperty("t", " padded "), #"t=%" padded ""#), (UserProperty("n", "a\nb"), #"n=%"a%0ab""#),
            (UserProperty("percent", "100%"), "percent=100%"), (UserProperty("", ""), "="),
        ]
    )
    func userProperties(property: UserProperty, field: String) throws {
        #expect(UserPropertyField.write(property) == field)
        #expect(try UserPropertyField.read(field) == property)
    }

    @Test("UTF-8 is taken as it is, ISO-8859-1 is refused with what to do", arguments: [false, true])
    func encodings(isLatin1: Bool) async throws {
        try await TestServer.run { server in
            let client = try await server.connect()
            var bytes = ByteBuffer(
                string: "PUT /v1/topics/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n"
            )
            bytes.writeString("X-MQTT-User-Property: room=K")
            bytes.writeBytes(isLatin1 ? [0xfc] : [0xc3, 0xbc])
            bytes.writeString("che\r\n\r\n1")
            try await client.send(bytes)
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == (isLatin1 ? 400 : 200))
            if isLatin1 { #expect(answer.body.contains("not UTF-8")) }
            let value = try await server.request("GET", "/v1/topics/a")
            #expect(value.fields["x-mqtt-user-property"] == (isLatin1 ? nil : #"room=%"K%c3%bcche""#))
        }
    }

    @Test("two Idempotency-Keys that are no UTF-8 are not taken for the same")
    func latin1Keys() async throws {
        try await TestServer.run { server in
            for byte in [0xfc, 0xf6] as [UInt8] {
                let client = try await server.connect()
                var bytes = ByteBuffer(
                    string: "POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n"
                )
                bytes.writeString("Idempotency-Key: k")
                bytes.writeInteger(byte)
                bytes.writeString("\r\n\r\n1")
                try await client.send(bytes)
                let answer = Answer(try await client.untilClosed())
                #expect(answer.status == 400 && answer.body.contains("not UTF-8"))
            }
        }
    }

    @Test("a message with many or long properties can be read: those that find no room are counted")
    func manyProperties() async throws {
        try await TestServer.run { server in
            func publish(_ topic: String, _ properties: PublishProperties) async {
                await server.onCore { broker in
                    let connection = VirtualConnection(
                        transportProtocol: .mqtt,
                        remoteAddress: "",
                        outlet: .messages(MessageSink(capacity: 0, receive: { _ in }, closed: { _ in }))
                    )
                    broker.connect(ConnectRequest(isTransient: true), on: connection) { _ in }
                    _ = broker.publish(
                        topic: topic.utf8Span.span.bytes,
                        payload: ByteBuffer(string: "value").readableBytesSpan,
                        qos: .atMostOnce,
                        retain: true,
                        properties: properties,
                        from: connection
                    )
                    broker.disconnect(connection, reason: .normalDisconnection)
                }
            }
            var many = PublishProperties()
            many.userProperties = UserProperties((0..<500).map { UserProperty("k\($0)", "v") })
            many.contentType = String(repeating: "x", count: 60_000)
            await publish("many", many)
            var long = PublishProperties()
            long.userProperties = [UserProperty("a", "1"), UserProperty("long", String(repeating: "x", count: 60_000))]
            long.contentType = ""
            await publish("long", long)
            for (topic, count) in [("many", 50), ("long", 1)] {
                let answer = try await server.request("GET", "/v1/topics/\(topic)")
                #expect(answer.status == 200 && answer.body == "value")
                let fields = answer.text.split(separator: "X-MQTT-User-Property:").count - 1
                #expect(fields == count)
                #expect(answer.fields["x-mqtt-user-property-count"] == (topic == "many" ? "500" : "2"))
                #expect(answer.text.utf8.count < 4_096)
                #expect(answer.fields["content-type"] == "application/octet-stream")
            }
        }
    }

    @Test("fields of ours that we don't know are refused", arguments: ["X-MQTT-Retian: 1", "x-mqtt-qos: 1"])
    func unknownFields(field: String) async throws {
        try await TestServer.run { server in
            let answer = try await server.request("POST", "/publish?topic=a", [field], body: "x")
            #expect(answer.status == 400 && answer.body.contains("parameters of the query"))
            #expect(try await server.request("GET", "/v1/topics/a", [field]).status == 400)
        }
    }

    @Test(
        "a transfer coding that is not understood is not implemented, and nothing is published",
        arguments: [
            ("HTTP/1.1", "gzip, chunked", 501), ("HTTP/1.1", "identity", 501), ("HTTP/1.0", "chunked", 400),
            ("HTTP/1.1", "Chunked", 200),
        ]
    )
    func transferCodings(version: String, coding: String, status: Int) async throws {
        try await TestServer.run { server in
            let client = try await server.connect()
            let head =
                "PUT /v1/topics/a \(version)\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: \(coding)\r\n\r\n"
            try await client.send(head + "1\r\nx\r\n0\r\n\r\n")
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == status || (coding == "identity" && answer.status == 400))
            #expect(try await server.request("GET", "/v1/topics/a").status == (status == 200 ? 200 : 404))
        }
    }

    @Test("a stream asks to be left as it is by proxies that compress")
    func noTransform() async throws {
        try await TestServer.run { server in
            let client = try await server.connect()
            try await client.send("GET /v1/subscribe?topic=s HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
            let answer = Answer(try await client.text(containing: "\r\n\r\n"))
            #expect(answer.fields["cache-control"] == "no-store, no-transform")
        }
    }

    @Test(
        "requests say in words what is wrong with them, and a Reason Code only where MQTT has one",
        arguments: [
            ("GET", "/v1/topics/a/%2B", 400, "with wildcards, subscribe at /v1/subscribe?topic="),
            ("GET", "/v1/topics/a?retian=1", 400, "retian: unknown parameter"),
            ("POST", "/publish?topic=a&retian=1", 400, "retian: unknown parameter; did you mean retain?"),
            ("GET", "/v1/subscribe?topics=a", 400, "topics: unknown parameter; did you mean topic?"),
            ("POST", "/publish", 400, "the query has no topic=, and the body is not JSON"),
            ("GET", "/v1/topic/a", 404, "nothing is at /v1/topic/a"),
            ("PATCH", "/publish", 405, "this resource has POST"),
            ("GET", "/v1/topics/none", 404, "no message is retained"),
        ]
    )
    func words(method: String, target: String, status: Int, words: String) async throws {
        try await TestServer.run { server in
            let answer = try await server.request(method, target, body: method == "POST" ? "hello" : nil)
            #expect(answer.status == status)
            #expect(answer.body.contains(words), "\(answer.body)")
            #expect(answer.body.contains("reason_code") == (status == 400))
        }
    }

    @Test("every parameter that a request may have is in the OpenAPI document")
    func documented() async throws {
        try await TestServer.run { server in
            let document = try await server.request("GET", "/v1/openapi.yaml").body
            let routes: [(Route, HTTPRequest.Method)] = [
                (.publish, .post), (.topic(path: "a"), .get), (.topic(path: "a"), .put), (.request(path: "a"), .post),
                (.subscribe, .get), (.token, .post),
            ]
            for (route, method) in routes {
                for name in route.parameters(method)?.names ?? [] where name != "lastEventId" {
                    #expect(document.contains("name: \(name)"), "\(name)")
                }
            }
        }
    }
}
