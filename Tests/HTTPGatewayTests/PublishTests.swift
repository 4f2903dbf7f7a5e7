import BrokerCore
import HTTPGateway
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct PublishTests {
    @Test("a published message is retained when asked, and can be read back as it was")
    func retained() async throws {
        try await TestServer.run { server in
            let put = try await server.request(
                "PUT",
                "/v1/topics/a/b%20c?expiry=60",
                ["Content-Type: application/json", "X-MQTT-User-Property: k = v=w"],
                body: #"{"x":1}"#
            )
            #expect(put.status == 200)
            #expect(put.body.contains(#""id":""#))
            let get = try await server.request("GET", "/v1/topics/a/b%20c")
            #expect(get.status == 200)
            #expect(get.body == #"{"x":1}"#)
            #expect(get.fields["content-type"] == "application/json")
            // A minute, less what has passed since.
            let age = try #require(get.fields["cache-control"]?.split(separator: "max-age=").last.flatMap { Int($0) })
            #expect((1...60).contains(age))
            #expect(get.fields["x-mqtt-user-property"] == "k=v=w")
            let head = try await server.request("HEAD", "/v1/topics/a/b%20c")
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            #expect(head.fields["content-length"] == "7")
            let tag = try #require(get.fields["etag"])
            let again = try await server.request("GET", "/v1/topics/a/b%20c", ["If-None-Match: \"x\", W/\(tag)"])
            #expect(again.status == 304)
            #expect(again.body.isEmpty)
            let cleared = try await server.request("DELETE", "/v1/topics/a/b%20c")
            #expect(cleared.status == 204)
            #expect(try await server.request("GET", "/v1/topics/a/b%20c").status == 404)
            #expect(try await server.request("HEAD", "/v1/topics/a/b%20c").body.isEmpty)
        }
    }

    @Test("each way to publish is the same PUBLISH")
    func ways() async throws {
        try await TestServer.run { server in
            let stream = try await server.connect()
            try await stream.send("GET /v1/subscribe?topic=%23&qos=2 HTTP/1.1\r\nHost: a\r\n\r\n")
            try await stream.text(containing: "retry:")
            try await server.publish("q", "1", query: "&qos=1")
            _ = try await server.request("POST", "/v1/topics//q/", body: "2")
            let single = try await server.request("POST", "/publish", body: #"{"topic":"e","payload":"3","qos":2}"#)
            #expect(single.status == 200)
            let batch = try await server.request(
                "POST",
                "/publish",
                ["Prefer: return=minimal"],
                body: #"[{"topic":"b","payload":"4"},{"topic":"b","payload":"5"}]"#
            )
            #expect(batch.status == 204)
            let text = try await stream.text(containing: "data: ", times: 5)
            let expected = [
                #"{"payload":"1","qos":1,"retain":false,"topic":"q"}"#,
                #"{"payload":"2","qos":0,"retain":false,"topic":"/q/"}"#,
                #"{"payload":"3","qos":2,"retain":false,"topic":"e"}"#,
                #"{"payload":"4","qos":0,"retain":false,"topic":"b"}"#,
                #"{"payload":"5","qos":0,"retain":false,"topic":"b"}"#,
            ]
            let found = text.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
            #expect(found == expected)
        }
    }

    @Test("a request under a Client Identifier leaves the session of that name alone, and No Local knows it")
    func sameClient() async throws {
        try await TestServer.run { server in
            let stream = try await server.connect()
            try await stream.send(
                "GET /v1/subscribe?topic=t/%23&nl=1&clientid=dash HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            try await stream.text(containing: "retry:")
            try await server.publish("t/own", "mine", query: "&clientid=dash")
            try await server.publish("t/other", "theirs")
            let text = try await stream.text(containing: "data: ")
            #expect(!text.contains("mine"))
            #expect(!text.contains("takeover"))
        }
    }

    @Test(
        "what can't be served says so",
        arguments: [
            ("GET", "/nothing", [], nil, 404), ("GET", "/publish", [], nil, 405),
            ("PATCH", "/v1/topics/a", [], nil, 405),
            ("POST", "/v1/subscribe", [], "x", 405), ("POST", "/publish?topic=a/%23", [], "x", 400),
            ("POST", "/v1/topics/a%2Fb", [], "x", 400), ("POST", "/v1/topics/", [], "x", 400),
            ("POST", "/publish?topic=a&qos=3", [], "x", 400), ("POST", "/publish", [], "x", 400),
            ("POST", "/publish?topic=a", ["X-MQTT-User-Property: none"], "x", 400),
            ("POST", "/publish", ["Content-Type: application/xml"], "<a/>", 415),
            ("POST", "/publish?topic=a", ["Content-Encoding: gzip"], "x", 415),
            ("POST", "/publish", ["Content-Type: application/json"], "{}", 422),
            ("GET", "/v1/subscribe?topic=a", ["Accept: image/png"], nil, 406),
            ("GET", "/v1/subscribe", [], nil, 400), ("GET", "/v1/subscribe?topic=a/%23/b", [], nil, 400),
            ("GET", "/v1/subscribe?cursor=a.1", ["Accept: application/json"], nil, 404),
            ("PUT", "/v1/topics/a?retain=0", [], "x", 400), ("GET", "/mqtt", [], nil, 426),
            ("POST", "/publish?topic=a", ["Authorization: Bearer x"], "x", 401),
        ] as [(String, String, [String], String?, Int)]
    )
    func refused(method: String, target: String, fields: [String], body: String?, status: Int) async throws {
        try await TestServer.run { server in
            let answer = try await server.request(method, target, fields, body: body)
            #expect(answer.status == status)
            #expect(answer.fields["content-type"] == "application/problem+json")
            #expect(answer.body.contains(#""status":\#(status)"#))
            // Of what is HTTP's own, MQTT has no word.
            #expect(
                answer.body.contains(#""reason_code":"#) == ![404, 405, 426].contains(status)
                    || target.contains("cursor")
            )
            if status == 405 { #expect(answer.fields["allow"] != nil) }
        }
    }

    @Test("the broker decides who may connect and publish, as for MQTT")
    func access() async throws {
        let access = AccessTable(["ann": "secret"], allowsAnonymous: false)
        try await TestServer.run(access: access) { server in
            let stranger = try await server.request("POST", "/publish?topic=open/a", body: "x")
            #expect(stranger.status == 401)
            #expect(stranger.fields["www-authenticate"]?.hasPrefix("Basic ") == true)
            let wrong = try await server.request(
                "POST",
                "/publish?topic=open/a",
                ["Authorization: Basic YW5uOndyb25n"],
                body: "x"
            )
            #expect(wrong.status == 401)
            #expect(wrong.body.contains("Bad User Name or Password"))
            let ann = "Authorization: Basic YW5uOnNlY3JldA=="
            #expect(try await server.request("PUT", "/v1/topics/ann/a", [ann], body: "x").status == 200)
            let denied = try await server.request("PUT", "/v1/topics/bob/a", [ann], body: "x")
            #expect(denied.status == 403)
            #expect(denied.body.contains(#""reason_code":135"#))
            #expect(try await server.request("GET", "/v1/topics/bob/a", [ann]).status == 403)
            #expect(try await server.request("GET", "/v1/subscribe?topic=bob/%23", [ann]).status == 403)
            let mixed = try await server.request(
                "POST",
                "/publish",
                [ann],
                body: #"[{"topic":"open/1","payload":""},{"topic":"bob/1","payload":""}]"#
            )
            #expect(mixed.status == 207)
            #expect(mixed.body.contains("Not authorized"))
        }
    }

    @Test("what the broker does not offer is refused with its reason")
    func notOffered() async throws {
        var limits = Limits()
        limits.maximumQoS = 0
        limits.retainedMessages = 1
        try await TestServer.run(limits: limits) { server in
            #expect(try await server.request("POST", "/publish?topic=a&qos=1", body: "x").status == 422)
            #expect(try await server.request("PUT", "/v1/topics/a", body: "x").status == 200)
            let full = try await server.request("PUT", "/v1/topics/b", body: "x")
            #expect(full.status == 429)
            #expect(full.fields["retry-after"] != nil)
            _ = await server.onCore { $0.shutdown() }
            let stopping = try await server.request("PUT", "/v1/topics/a", body: "x")
            #expect(stopping.status == 503)
            #expect(stopping.fields["retry-after"] != nil)
        }
    }

    @Test("requests above the publish rate are answered by 429, on however many connections they come")
    func publishRate() async throws {
        var limits = Limits()
        limits.publishRate = 3
        try await TestServer.run(limits: limits) { server in
            let messages = (0..<5).map { #"{"topic":"t","payload":"\#($0)"}"# }.joined(separator: ",")
            let batch = try await server.request("POST", "/publish", body: "[\(messages)]")
            #expect(batch.status == 207)
            #expect(batch.body.split(separator: #""reason_code":150"#).count == 3)
            // The suite's time limit ends it if none is ever refused.
            var status = 0
            repeat {
                status = try await server.request("POST", "/publish?topic=t", body: "x").status
            } while status == 200
            #expect(status == 429)
        }
    }
}
