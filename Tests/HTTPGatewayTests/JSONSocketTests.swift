import BrokerCore
import HTTPGateway
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct JSONSocketTests {
    @Test("a page connects, subscribes, publishes and gets its message, each answer under the page's label")
    func roundTrip() async throws {
        try await TestServer.run { server in
            let page = try await JSONClient.open(server, connect: nil)
            try await page.send(#"{"op":"connect","clientid":"page","keep_alive":60}"#)
            try await page.send(#"{"op":"subscribe","id":1,"topics":[{"topic":"a/#","qos":1},{"topic":"a/#/b"}]}"#)
            try await page.send(#"{"op":"publish","id":"p","topic":"a/b","payload":"hi","qos":1}"#)
            try await page.send(#"{"op":"publish","topic":"nobody","payload":""}"#)
            try await page.send(#"{"op":"ping","id":2}"#)
            let answers = try await page.answers(5)
            #expect(
                answers[0]
                    == #"{"clientid":"page","keep_alive":60,"op":"connected","reason":"Success","reason_code":0,"session_expiry_interval":0,"session_present":false}"#
            )
            #expect(answers.contains(#"{"id":1,"op":"subscribed","reason_codes":[1,143]}"#))
            #expect(answers.contains(#"{"id":"p","op":"published","reason":"Success","reason_code":0}"#))
            #expect(answers.contains(#"{"id":2,"op":"pong"}"#))
            let message = try #require(answers.first { $0.contains(#""op":"message""#) })
            #expect(message.contains(#""payload":"hi","qos":1,"retain":false,"topic":"a/b"}"#))
            #expect(message.hasPrefix(#"{"op":"message","id":""#))
        }
    }

    @Test("binary payloads come as base64 and say so, properties go both ways")
    func payloads() async throws {
        try await TestServer.run { server in
            let page = try await JSONClient.open(server)
            try await page.send(#"{"op":"subscribe","topic":"t"}"#)
            try await page.send(
                #"{"op":"publish","topic":"t","payload":"/wA=","payload_encoding":"base64","properties":{"content_type":"x/y","user_properties":{"k":"v"}}}"#
            )
            let message = try await page.answers(3)[2]
            #expect(message.contains(#""payload":"/wA=","payload_encoding":"base64""#))
            #expect(message.contains(#""properties":{"content_type":"x/y","user_properties":{"k":"v"}}"#))
        }
    }

    @Test("QoS 1 waits to be acknowledged by its id, as far as Receive Maximum goes")
    func acknowledgement() async throws {
        try await TestServer.run { server in
            let connect = #"{"op":"connect","clientid":"c","receive_maximum":1}"#
            let page = try await JSONClient.open(server, connect: connect)
            try await page.send(#"{"op":"subscribe","topic":"t","qos":1}"#)
            _ = try await page.answers(2)
            try await server.publish("t", "1", query: "&qos=1")
            try await server.publish("t", "2", query: "&qos=1")
            let first = try #require(try await page.answers(3).last)
            #expect(first.contains(#""payload":"1""#))
            let id = try #require(first.firstMatch(of: /"id":"([^"]+)"/)?.output.1)
            try await page.send(#"{"op":"ack","id":"\#(id)"}"#)
            #expect(try await page.answers(4)[3].contains(#""payload":"2""#))
            try await page.send(#"{"op":"ack","id":"\#(id)"}"#)
            #expect(try await page.answers(5)[4].contains(#""op":"error","reason":"Packet Identifier not found""#))
        }
    }

    @Test("a persistent session goes on, and sends again what was not acknowledged")
    func persistentSession() async throws {
        try await TestServer.run { server in
            let connect = #"{"op":"connect","clientid":"c","clean_start":false,"session_expiry_interval":60}"#
            let page = try await JSONClient.open(server, connect: connect)
            try await page.send(#"{"op":"subscribe","topic":"t","qos":1}"#)
            _ = try await page.answers(2)
            try await server.publish("t", "1", query: "&qos=1")
            _ = try await page.answers(3)
            try await page.socket.raw.close()
            try await waitFor(server) { $0.connectedClients == 0 }
            let again = try await JSONClient.open(server, connect: connect)
            let answers = try await again.answers(2)
            #expect(answers[0].contains(#""session_present":true"#))
            #expect(answers[1].contains(#""dup":true"#) && answers[1].contains(#""payload":"1""#))

            // A newer connection takes over, and the older one is told.
            _ = try await JSONClient.open(server, connect: connect)
            let (last, code) = try await again.untilClosed()
            #expect(last.last == #"{"op":"disconnect","reason":"Session taken over","reason_code":142}"#)
            #expect(code == 1_000)
        }
    }

    @Test("a will is published when the page goes without a word, and not when it says so")
    func wills() async throws {
        try await TestServer.run { server in
            let watcher = try await JSONClient.open(server)
            try await watcher.send(#"{"op":"subscribe","topic":"w/#"}"#)
            _ = try await watcher.answers(2)
            for (name, farewell) in [("polite", true), ("rude", false)] {
                let will = #"{"topic":"w/\#(name)","payload":"gone","delay_interval":0}"#
                let page = try await JSONClient.open(server, connect: #"{"op":"connect","will":\#(will)}"#)
                if farewell { try await page.send(#"{"op":"disconnect"}"#) } else { try await page.socket.raw.close() }
                try await waitFor(server) { $0.connectedClients == 1 }
            }
            let answers = try await watcher.answers(3)
            #expect(answers.count == 3)
            #expect(answers[2].contains(#""topic":"w/rude""#))
        }
    }

    @Test(
        "what can't be understood is an error under its label, and the page stays",
        arguments: [
            ("nonsense", "Malformed Packet"), (#"{"op":"dance"}"#, "Malformed Packet"),
            (#"{"op":"connect"}"#, "Protocol Error"), (#"{"op":"subscribe"}"#, "Malformed Packet"),
            (#"{"op":"subscribe","topic":"a","qos":3}"#, "Malformed Packet"),
            (#"{"op":"publish","topic":"a/#","payload":""}"#, "Topic Name invalid"),
            (#"{"op":"publish","topic":"a"}"#, "Malformed Packet"),
            (#"{"op":"unsubscribe"}"#, "Malformed Packet"), (#"{"op":"ack","id":"x"}"#, "Packet Identifier not found"),
        ]
    )
    func errors(text: String, reason: String) async throws {
        try await TestServer.run { server in
            let page = try await JSONClient.open(server)
            try await page.send(
                text.replacing(#"{"op""#, with: #"{"id":9,"op""#).replacing(
                    #""id":9,"op":"ack","#,
                    with: #""op":"ack","#
                )
            )
            let error = try await page.answers(2)[1]
            #expect(error.contains(#""op":"error","reason":"\#(reason)""#))
            if text.contains("\"op\""), !text.contains("ack") { #expect(error.contains(#""id":9"#)) }
            try await page.send(#"{"op":"ping"}"#)
            #expect(try await page.answers(3)[2] == #"{"op":"pong"}"#)
        }
    }

    @Test("who does not begin with connect, or is refused, is told and goes")
    func refused() async throws {
        try await TestServer.run(access: AccessTable(["ann": "secret"], allowsAnonymous: false)) { server in
            let early = try await JSONClient.open(server, connect: nil)
            try await early.send(#"{"op":"subscribe","topic":"a"}"#)
            #expect(try await early.untilClosed().answers.first?.contains("Protocol Error") == true)
            let wrong = try await JSONClient.open(server, connect: nil)
            try await wrong.send(#"{"op":"connect","id":1,"username":"ann","password":"x"}"#)
            let (answers, code) = try await wrong.untilClosed()
            #expect(answers == [#"{"id":1,"op":"connected","reason":"Bad User Name or Password","reason_code":134}"#])
            #expect(code == 1_000)
            let right = try await JSONClient.open(server, connect: nil)
            try await right.send(#"{"op":"connect","username":"ann","password":"secret"}"#)
            try await right.send(#"{"op":"subscribe","topic":"bob/a"}"#)
            #expect(try await right.answers(2)[1] == #"{"op":"subscribed","reason_codes":[135]}"#)
            let token = try await server.request("POST", "/v1/token", ["Authorization: Basic YW5uOnNlY3JldA=="])
            let text = try #require(token.body.firstMatch(of: /"access_token":"([0-9a-f]+)"/)?.output.1)
            let byToken = try await JSONClient.open(server, connect: nil)
            try await byToken.send(#"{"op":"connect","access_token":"\#(text)"}"#)
            #expect(try await byToken.answers(1)[0].contains(#""reason_code":0"#))
        }
    }

    @Test("binary frames are refused with 1003, text that is no UTF-8 with 1007")
    func frames() async throws {
        try await TestServer.run { server in
            let binary = try await JSONClient.open(server)
            try await binary.socket.send(2, [1])
            #expect(try await binary.untilClosed().code == 1_003)
            let broken = try await JSONClient.open(server)
            try await broken.socket.send(1, [0xc3, 0x28])
            #expect(try await broken.untilClosed().code == 1_007)
            let fragments = try await JSONClient.open(server)
            let text = Array(#"{"op":"ping","id":"ü"}"#.utf8)
            // In the middle of a character, with an empty fragment.
            try await fragments.socket.send(1, Array(text[..<20]), isFinal: false)
            try await fragments.socket.send(0, [], isFinal: false)
            try await fragments.socket.send(0, Array(text[20...]))
            #expect(try await fragments.answers(2)[1] == #"{"id":"ü","op":"pong"}"#)
        }
    }

    @Test("a page that says nothing is closed in time, and so is one that keeps no Keep Alive")
    func silence() async throws {
        var limits = Limits()
        limits.connectTimeout = 1
        try await TestServer.run(limits: limits) { server in
            let silent = try await JSONClient.open(server, connect: nil)
            let (answers, code) = try await silent.untilClosed()
            #expect(answers.isEmpty && code == 1_000)
        }
        // One that has the usual time to connect, on a machine that may be busy.
        try await TestServer.run { server in
            let page = try await JSONClient.open(server, connect: #"{"op":"connect","keep_alive":1}"#)
            #expect(try await page.untilClosed().answers.last?.contains("Keep Alive timeout") == true)
        }
    }

    @Test("a page gets all retained messages, though far fewer may be on their way")
    func retained() async throws {
        try await TestServer.run(configuration: .test { $0.subscriberMessages = 8 }) { server in
            let messages = (0..<300).map { #"{"topic":"r/\#($0)","payload":"\#($0)","retain":true}"# }
            _ = try await server.request("POST", "/publish", body: "[\(messages.joined(separator: ","))]")
            let page = try await JSONClient.open(server)
            try await page.send(#"{"op":"subscribe","topic":"r/#"}"#)
            let answers = try await page.answers(302)
            #expect(Set(answers.filter { $0.contains(#""op":"message""#) }).count == 300)
            #expect(!answers.contains { $0.contains(#""op":"dropped""#) })
        }
    }

    @Test("a page that does not read is not read either, and its session's queue is bounded")
    func slowReader() async throws {
        var queue = QueueLimits()
        queue.messages = 10
        try await TestServer.run(
            limits: Limits(queue: queue),
            configuration: .test { $0.subscriberMessages = 10 }
        ) { server in
            let raw = try await RawClient.connect(to: server.port, on: server.eventLoopGroup, reading: false)
            let fields = WebSocketClient.handshake + ["Host: a", "Sec-WebSocket-Protocol: sluice.json"]
            try await raw.send("GET /mqtt HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
            for text in [#"{"op":"connect"}"#, #"{"op":"subscribe","topic":"t","qos":1}"#] {
                try await raw.send(WebSocketClient.frame(1, Array(text.utf8)))
            }
            try await waitFor(server) { $0.connectedClients == 1 }
            let payload = String(repeating: "x", count: 100_000)
            for _ in 0..<100 { try await server.publish("t", payload, query: "&qos=1") }
            #expect(await server.onCore { $0.statistics.dropped } > 30)
            try await server.publish("t", "the last", query: "&qos=1")
            try await raw.startReading()
            let fits = Search(for: "\"op\":\"subscribed\"")
            _ = try await raw.bytes { bytes, _ in fits.count(in: bytes) == 1 }
        }
    }
}
