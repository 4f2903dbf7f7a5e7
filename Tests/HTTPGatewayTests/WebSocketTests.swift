import BrokerCore
import HTTPGateway
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct WebSocketTests {
    private static let connect = WebSocketClient.bytes(.connect(Connect(clientID: "c")))

    @Test(
        "[MQTT-6.0.0-4] the answer names exactly one subprotocol, or there is no WebSocket",
        arguments: [
            (["mqtt"], 101, "mqtt"), (["mqttv3.1"], 101, "mqttv3.1"), (["x, mqttv3.1, mqtt"], 101, "mqttv3.1"),
            (["x", "mqtt"], 101, "mqtt"), ([], 400, nil), (["x"], 400, nil),
        ] as [([String], Int, String?)]
    )
    func subprotocols(offered: [String], status: Int, chosen: String?) async throws {
        try await TestServer.run { server in
            let answer = try await handshake(server, offered.map { "Sec-WebSocket-Protocol: \($0)" })
            #expect(answer.status == status)
            #expect(answer.fields["sec-websocket-protocol"] == chosen)
            // The example of RFC 6455 §1.3.
            if status == 101 { #expect(answer.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") }
        }
    }

    @Test("a client that offers no subprotocol is taken for one of MQTT, if the configuration says so")
    func noSubprotocol() async throws {
        try await TestServer.run(configuration: .test { $0.requiresSubprotocol = false }) { server in
            let answer = try await handshake(server, [])
            #expect(answer.status == 101)
            #expect(answer.fields["sec-websocket-protocol"] == nil)
            let known = try await handshake(server, ["Sec-WebSocket-Protocol: x, mqtt"])
            #expect(known.fields["sec-websocket-protocol"] == "mqtt")
        }
    }

    @Test(
        "a pong keeps an MQTT client alive that sends no PINGREQ, if the configuration says so",
        arguments: [true, false]
    )
    func pongKeepsAlive(isOn: Bool) async throws {
        try await TestServer.run(
            configuration: .test { configuration in
                configuration.pongKeepsAlive = isOn
                configuration.pingInterval = nil
            }
        ) { server in
            let socket = try await WebSocketClient.open(server)
            try await socket.send(2, WebSocketClient.bytes(.connect(Connect(keepAlive: isOn ? 4 : 1, clientID: "c"))))
            _ = try await socket.packets(1)
            // Longer than one and a half times the Keep Alive, at a pace that leaves the machine to other tests.
            let deadline = NIODeadline.now() + .seconds(isOn ? 7 : 30)
            while NIODeadline.now() < deadline, await server.onCore({ $0.connectedClients }) == 1 {
                try? await socket.send(10, [])
                try await server.eventLoopGroup.next().scheduleTask(in: .milliseconds(100)) {}.futureResult.get()
            }
            #expect(await server.onCore { $0.connectedClients } == (isOn ? 1 : 0))
        }
    }

    @Test(
        "a handshake that is none is refused",
        arguments: [
            (["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 426),
            (["Sec-WebSocket-Version: 13"], 400), (["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"], 400),
        ]
    )
    func badHandshakes(fields: [String], status: Int) async throws {
        try await TestServer.run { server in
            let all = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: mqtt"] + fields
            let client = try await server.connect()
            try await client.send("GET /mqtt HTTP/1.1\r\nHost: a\r\n\(all.joined(separator: "\r\n"))\r\n\r\n")
            #expect(Answer(try await client.untilClosed()).status == status)
        }
    }

    @Test(
        "any request of a connection can become a WebSocket, once those before it are answered",
        arguments: [
            ("", 0), ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 1), (String(repeating: post, count: 20), 20),
            (poll, 1),
        ]
    )
    func laterRequest(before: String, count: Int) async throws {
        try await TestServer.run { server in
            try await server.publish("w", "1", query: "&retain=1")
            let client = try await server.connect()
            let fields = (WebSocketClient.handshake + ["Host: a", "Sec-WebSocket-Protocol: mqtt"])
            // All at once, with the first packet: nothing of it may be taken for another thing.
            var bytes = ByteBuffer(string: before + "GET /mqtt HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
            bytes.writeImmutableBuffer(WebSocketClient.frame(2, Self.connect))
            try await client.send(bytes)
            let answer = try await client.bytes { bytes, _ in
                guard let end = bytes.firstRange(of: Array("HTTP/1.1 101".utf8)) else { return false }
                return bytes[end.upperBound...].contains(0x82)
            }
            let text = String(decoding: answer, as: UTF8.self)
            #expect(text.split(separator: "HTTP/1.1 ").count == count + 1)
            #expect(!text.contains("HTTP/1.1 4") || before.contains("nothing"))
        }
    }

    private static let post = "POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
    private static let poll =
        "GET /v1/subscribe?topic=w&wait=30 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"

    @Test("a WebSocket at another path is told where they are", arguments: ["/", "/mqtt/", "/ws", "/v1/health"])
    func otherPaths(path: String) async throws {
        try await TestServer.run { server in
            let fields = WebSocketClient.handshake + ["Host: a", "Sec-WebSocket-Protocol: mqtt"]
            let client = try await server.connect()
            try await client.send("GET \(path) HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
            let answer = Answer(try await client.untilClosed())
            #expect(answer.status == 404 && answer.body.contains("WebSockets are at /mqtt"))
        }
    }

    @Test(
        "[MQTT-6.0.0-2] MQTT goes through: packets may share a frame, or be spread over frames, fragments and single bytes"
    )
    func packets() async throws {
        try await TestServer.run { server in
            let socket = try await WebSocketClient.open(server)
            let subscribe = WebSocketClient.bytes(
                .subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "t/#")]))
            )
            try await socket.send(2, Self.connect + subscribe)
            #expect(try await socket.packets(2).count == 2)

            let payload = [UInt8](repeating: 7, count: 100_000)
            let publish = WebSocketClient.bytes(
                .publish(Publish(topic: try TopicName("t/1"), payload: ByteBuffer(bytes: payload)))
            )
            try await socket.send(2, Array(publish[..<1]), isFinal: false)
            try await socket.send(9, Array("ping".utf8))
            try await socket.send(0, Array(publish[1..<50_000]), isFinal: false)
            try await socket.send(0, Array(publish[50_000...]) + [0xc0, 0x00])
            let packets = try await socket.packets(4)
            guard case .publish(let received) = packets[2] else { throw Unexpected("\(packets[2])") }
            #expect(Array(received.payload.readableBytesView) == payload)
            #expect(packets[3] == .pingresp)
            let frames = try await socket.frames(1)
            #expect(frames.contains { $0.opcode == 10 && $0.payload == Array("ping".utf8) })

            var single = WebSocketClient.frame(2, [0xc0, 0x00])
            while let byte = single.readSlice(length: 1) { try await socket.raw.send(byte) }
            #expect(try await socket.packets(5).last == .pingresp)
        }
    }

    @Test("[MQTT-6.0.0-1] text closes with 1003, what is too long with 1009, what breaks the protocol with 1002")
    func failures() async throws {
        var limits = Limits()
        limits.maximumPacketSize = 1_000
        try await TestServer.run(limits: limits) { server in
            let text = try await WebSocketClient.open(server)
            try await text.send(1, [65])
            #expect(try await text.frames(1).last?.payload == [0x03, 0xeb])
            let long = try await WebSocketClient.open(server)
            try await long.raw.send(ByteBuffer(bytes: [0x82, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 2, 3, 4]))
            #expect(try await long.frames(1).last?.payload == [0x03, 0xf1])
            let unmasked = try await WebSocketClient.open(server)
            try await unmasked.raw.send(ByteBuffer(bytes: [0x82, 0x00]))
            #expect(try await unmasked.frames(1).last?.payload == [0x03, 0xea])
            _ = try await text.raw.untilClosed()
            _ = try await long.raw.untilClosed()
            _ = try await unmasked.raw.untilClosed()
        }
    }

    @Test("Maximum Packet Size is MQTT's to enforce, with its own reason")
    func packetTooLarge() async throws {
        var limits = Limits()
        limits.maximumPacketSize = 1_000
        try await TestServer.run(limits: limits) { server in
            let socket = try await WebSocketClient.open(server)
            try await socket.send(2, Self.connect)
            _ = try await socket.packets(1)
            let publish = Publish(topic: try TopicName("t"), payload: ByteBuffer(repeating: 0, count: 2_000))
            try await socket.send(2, WebSocketClient.bytes(.publish(publish)))
            guard case .disconnect(let disconnect) = try await socket.packets(2).last else {
                Issue.record("no DISCONNECT")
                return
            }
            #expect(disconnect.reasonCode == .packetTooLarge)
        }
    }

    @Test("a close frame is answered, and is no DISCONNECT: the will is published")
    func closing() async throws {
        try await TestServer.run { server in
            let socket = try await WebSocketClient.open(server)
            var connect = Connect(clientID: "w")
            connect.will = Will(topic: try TopicName("will"), payload: ByteBuffer(string: "gone"), retain: true)
            try await socket.send(2, WebSocketClient.bytes(.connect(connect)))
            _ = try await socket.packets(1)
            try await socket.send(8, [0x03, 0xe8])
            #expect(try await socket.frames(2).last?.payload == [0x03, 0xe8])
            _ = try await socket.raw.untilClosed()
            try await waitFor(server) { $0.connectedClients == 0 }
            #expect(try await server.request("GET", "/v1/topics/will").body == "gone")
        }
    }

    @Test("bytes that come with the handshake are not lost")
    func earlyBytes() async throws {
        try await TestServer.run { server in
            let client = try await server.connect()
            let fields = WebSocketClient.handshake + ["Host: a", "Sec-WebSocket-Protocol: mqtt"]
            var bytes = ByteBuffer(string: "GET /mqtt HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
            bytes.writeImmutableBuffer(WebSocketClient.frame(2, Self.connect))
            try await client.send(bytes)
            let head = "HTTP/1.1 101"
            let answer = try await client.bytes { bytes, _ in
                String(decoding: bytes, as: UTF8.self).hasPrefix(head) && bytes.contains(0x82)
            }
            #expect(answer.contains(0x20))
        }
    }

    private func handshake(_ server: TestServer, _ fields: [String]) async throws -> Answer {
        let client = try await server.connect()
        let all = WebSocketClient.handshake + ["Host: a"] + fields
        try await client.send("GET /mqtt HTTP/1.1\r\n\(all.joined(separator: "\r\n"))\r\n\r\n")
        let answer = Answer(try await client.text(containing: "\r\n\r\n"))
        try? await client.close()
        return answer
    }
}
