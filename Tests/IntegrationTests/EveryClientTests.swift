import Testing

/// A message published by any client reaches the clients of every protocol.
@Suite(.timeLimit(.minutes(1)))
struct EveryClientTests {
    @Test("what a CoAP sensor posts reaches MQTT, server-sent events and MQTT over WebSocket")
    func coapSensorPostsReaches() async throws {
        try await SluiceProcess.running { sluice in
            let mqtt = try ClientProcess("mosquitto_sub", ["-p", "\(sluice.mqtt)", "-t", "sensors/#", "-v", "-d"])
            defer { mqtt.kill() }
            _ = try await mqtt.line("Subscribed") { $0.contains("Subscribed") }
            let events = try ClientProcess("curl", ["-sN", "-i"] + sluice.subscribeArguments("sensors/%23"))
            defer { events.kill() }
            _ = try await events.line("the header") { $0.contains("text/event-stream") }
            let webSocket = try Client.node("mqttjs_subscribe.js", ["ws://127.0.0.1:\(sluice.http)/mqtt", "sensors/#"])
            defer { webSocket.kill() }
            _ = try await webSocket.line("subscribed") { $0 == "subscribed" }

            try await run(
                "coap-client-notls",
                ["-m", "post", "-e", "21.5", "-B", "10", sluice.coapURL("sensors/temp")]
            )

            #expect(try await mqtt.line("the message") { $0 == "sensors/temp 21.5" } == "sensors/temp 21.5")
            let event = try await events.line("the event") { $0.hasPrefix("data:") }
            #expect(event.contains("\"sensors/temp\"") && event.contains("\"21.5\""))
            #expect(try await webSocket.line() == "sensors/temp 21.5")
        }
    }

    @Test(
        "messages sent back to back reach a CoAP observer, all and in order",
        arguments: ["sensors/temp", "sensors/+"]
    )
    func messagesSentBackBack(filter: String) async throws {
        try await SluiceProcess.running { sluice in
            let observer = try ClientProcess(
                "coap-client-notls",
                ["-s", "20", "-w", "-B", "20", "-v", "6", sluice.coapURL(filter)]
            )
            defer { observer.kill() }
            _ = try await observer.line("the registration's answer") { $0.contains("c:2.05") }

            let numbers = (1...10).map { "mqtt \($0)" }
            try await run(
                "sh",
                ["-c", "seq -f 'mqtt %g' 10 | mosquitto_pub -p \(sluice.mqtt) -t sensors/temp -q 1 -l"]
            )
            for number in numbers { _ = try await observer.line(number) { $0.hasSuffix(number) } }

            let posts = (1...10).flatMap { number in
                [
                    "--next", "-s", "-d", "http \(number)",
                    "http://127.0.0.1:\(sluice.http)/publish?topic=sensors/temp&qos=1",
                ]
            }
            try await run("curl", Array(posts.dropFirst()))
            for number in 1...10 { _ = try await observer.line("http \(number)") { $0.hasSuffix("http \(number)") } }
        }
    }

    @Test("MQTT.js over WebSocket publishes to a long-poll and to mosquitto_sub") func mqttJsOverWebSocket()
        async throws
    {
        try await SluiceProcess.running { sluice in
            let mqtt = try ClientProcess(
                "mosquitto_sub",
                ["-p", "\(sluice.mqtt)", "-V", "5", "-q", "1", "-t", "web/+", "-v", "-d"]
            )
            defer { mqtt.kill() }
            _ = try await mqtt.line("Subscribed") { $0.contains("Subscribed") }
            let first = try await run("curl", sluice.pollArguments("topic=web/%2B&qos=1&wait=0"))
            let cursor = try #require(first.joined().firstMatch(of: /"next":"([^"]+)"/)?.output.1)
            let publisher = try Client.node(
                "mqttjs_publish.js",
                ["ws://127.0.0.1:\(sluice.http)/mqtt", "web/page"] + (1...10).map { "\($0)" }
            )
            _ = try await publisher.line("published") { $0 == "published" }
            for number in 1...10 { _ = try await mqtt.line("\(number)") { $0 == "web/page \(number)" } }
            let second = try await run("curl", sluice.pollArguments("cursor=\(cursor)&wait=10&max=100")).joined()
            let payloads = second.matches(of: /"payload":"(\d+)"/).map(\.output.1)
            #expect(payloads == (1...10).map { "\($0)" })
        }
    }

    @Test("a value retained by one protocol is read by the others") func valueRetainedOneProtocol() async throws {
        try await SluiceProcess.running { sluice in
            try await run("coap-client-notls", ["-m", "put", "-e", "on", "-B", "10", sluice.coapURL("lamps/1")])
            let resource = "http://127.0.0.1:\(sluice.http)/v1/topics/lamps/1"
            #expect(try await run("curl", ["-s", resource]) == ["on"])
            try await run("curl", ["-s", "-X", "PUT", "-d", "off", resource])
            #expect(
                try await run("coap-client-notls", ["-m", "get", "-B", "10", sluice.coapURL("lamps/1")]) == [
                    "off"
                ]
            )
            let subscriber = ["-p", "\(sluice.mqtt)", "-t", "lamps/#", "-C", "1", "-F", "%r %t %p"]
            #expect(try await run("mosquitto_sub", subscriber) == ["1 lamps/1 off"])
            try await run("coap-client-notls", ["-m", "delete", "-B", "10", sluice.coapURL("lamps/1")])
            let status = ["-s", "-o", "/dev/null", "-w", "%{http_code}", resource]
            #expect(try await run("curl", status) == ["404"])
        }
    }
}

extension SluiceProcess {
    func coapURL(_ topic: String) -> String { "coap://127.0.0.1:\(coap)/ps/\(topic)" }

    func pollArguments(_ query: String) -> [String] {
        ["-s", "http://127.0.0.1:\(http)/v1/subscribe?\(query)", "-H", "Accept: application/json"]
    }

    func subscribeArguments(_ filter: String) -> [String] {
        ["http://127.0.0.1:\(http)/v1/subscribe?topic=\(filter)", "-H", "Accept: text/event-stream"]
    }
}
