import BrokerCore
import CoreRuntime
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import ServiceLifecycleTestKit
import Testing
import Webhooks

@Suite(.timeLimit(.minutes(1))) struct WebhookTests {
    private let group = MultiThreadedEventLoopGroup.singleton

    private func core(
        _ queue: QueueLimits = QueueLimits(),
        _ authorizer: (any Authorizer & Sendable)? = nil
    ) -> CoreLoop {
        CoreLoop(
            eventLoop: group.next(),
            broker: Broker(limits: Limits(queue: queue), authorizer: authorizer, now: .now())
        )
    }

    /// Runs webhooks, the test, and their graceful stop.
    private func run(
        _ configuration: WebhookConfiguration,
        _ core: CoreLoop,
        _ test: @escaping @Sendable (Webhook) async throws -> Void
    ) async throws {
        let service = WebhookService(
            [configuration],
            core: core,
            eventLoopGroup: group,
            events: .silent
        )
        let before = await core.perform { $0.connectedClients }
        try await testGracefulShutdown { trigger in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await service.run() }
                let deadline = NIODeadline.now() + .seconds(10)
                while await core.perform({ $0.connectedClients }) == before, NIODeadline.now() < deadline {}
                defer { trigger.triggerGracefulShutdown() }
                try await test(service.webhooks[0])
            }
        }
    }

    private func configuration(
        _ url: String,
        _ change: (inout WebhookConfiguration) -> Void = { _ in }
    )
        -> WebhookConfiguration
    {
        var configuration = WebhookConfiguration(name: "hook", url: url, topics: ["t/#"])
        configuration.schedule.minimumDelay = .milliseconds(10)
        configuration.schedule.maximumDelay = .milliseconds(50)
        change(&configuration)
        return configuration
    }

    private func publish(_ numbers: Range<Int>, _ core: CoreLoop, qos: QoS = .atLeastOnce) async {
        await core.perform { broker in
            let connection = VirtualConnection(
                transportProtocol: .mqtt,
                remoteAddress: "",
                outlet: .messages(MessageSink(capacity: 0, receive: { _ in }, closed: { _ in }))
            )
            broker.connect(ConnectRequest(isTransient: true), on: connection) { _ in }
            for number in numbers {
                guard let topic = try? TopicName("t/\(number)") else { continue }
                let message = Message(topic: topic, payload: ByteBuffer(string: "\(number)"), qos: qos)
                _ = broker.publish(message, from: connection)
            }
            broker.disconnect(connection, reason: .normalDisconnection)
        }
    }

    private func payload(_ body: String) -> String {
        body.firstMatch(of: /"payload":"([^"]*)"/).map { String($0.output.1) } ?? body
    }

    @Test("a message is posted as JSON, signed, and acknowledged when the endpoint has taken it")
    func delivers() async throws {
        let endpoint = try await Endpoint.start(on: group) { _, _ in .noContent }
        let core = core()
        let configuration = configuration(endpoint.url) { $0.signature = WebhookSignature(secret: "whsec_c2VjcmV0") }
        try await run(configuration, core) { webhook in
            await publish(0..<3, core)
            let requests = try await endpoint.requests(3)
            #expect(requests.map { payload($0.body) } == ["0", "1", "2"])
            let first = requests[0]
            #expect(first.body.contains(#""topic":"t/0""#) && first.body.contains(#""qos":1"#))
            #expect(first.header("content-type") == "application/json")
            #expect(first.header("webhook-attempt") == "1")
            #expect(first.body.contains("\"id\":\"\(first.header("webhook-id"))\""))
            #expect(Set(requests.map { $0.header("webhook-id") }).count == 3)
            let expected = WebhookSignature(secret: "secret")?.sign(
                id: first.header("webhook-id"),
                timestamp: try #require(Int(first.header("webhook-timestamp"))),
                body: ByteBuffer(string: first.body)
            )
            #expect(first.header("webhook-signature") == expected)
        }
        // Nothing is left to be sent again.
        let again = try await Endpoint.start(on: group) { _, _ in .ok }
        try await run(configurationOf(again, like: configuration), core) { _ in
            await publish(3..<4, core)
            let requests = try await again.requests(1)
            #expect(payload(requests[0].body) == "3")
        }
        try await endpoint.stop()
        try await again.stop()
    }

    @Test("an endpoint that never answers does not hold up the end", .timeLimit(.minutes(1)))
    func stopsInTime() async throws {
        let endpoint = try await Endpoint.start(on: group) { _, _ in nil }
        let core = core()
        let configuration = configuration(endpoint.url) { $0.timeout = .hours(1) }
        try await run(configuration, core) { _ in
            await publish(0..<1, core)
            _ = try await endpoint.requests(1)
        }
        try await endpoint.stop()
    }

    @Test("each request has the headers of the configuration")
    func headers() async throws {
        let endpoint = try await Endpoint.start(on: group) { _, _ in .noContent }
        let core = core()
        let configuration = configuration(endpoint.url) {
            $0.headers = [WebhookHeader("Authorization", "Bearer x"), WebhookHeader("user-agent", "shop")].compactMap(
                \.self
            )
        }
        try await run(configuration, core) { _ in
            await publish(0..<1, core)
            let request = try await endpoint.requests(1)[0]
            #expect(request.header("authorization") == "Bearer x")
            #expect(request.headers["User-Agent"] == ["shop"])
        }
        try await endpoint.stop()
    }

    @Test("a kept connection that the endpoint ends as the next message comes is no failure: it is sent again at once")
    func staleConnection() async throws {
        // The first connection answers once, and closes at the next request.
        let endpoint = try await Endpoint.start(on: group, closingAfter: 1) { _, _ in .noContent }
        let core = core()
        let configuration = configuration(endpoint.url) {
            $0.schedule.minimumDelay = .seconds(600)
            $0.schedule.maximumDelay = .seconds(600)
        }
        try await run(configuration, core) { webhook in
            for number in 0..<5 {
                await publish(number..<(number + 1), core)
                let requests = try await endpoint.requests(number + 1)
                #expect(payload(requests[number].body) == "\(number)")
            }
            #expect(webhook.statistics.failures == 0)
        }
        try await endpoint.stop()
    }

    @Test("an endpoint that ends every connection without an answer has failed")
    func alwaysClosing() async throws {
        let endpoint = try await Endpoint.start(on: group, closingAfter: 0) { _, _ in .noContent }
        let core = core()
        try await run(configuration(endpoint.url), core) { webhook in
            await publish(0..<1, core)
            let deadline = NIODeadline.now() + .seconds(30)
            while webhook.statistics.failures < 2, NIODeadline.now() < deadline { await Task.yield() }
            #expect(webhook.statistics.failures >= 2)
        }
        try await endpoint.stop()
    }

    private func configurationOf(_ endpoint: Endpoint, like other: WebhookConfiguration) -> WebhookConfiguration {
        var configuration = other
        configuration.url = endpoint.url
        return configuration
    }

    @Test("the signature is that of the Standard Webhooks specification's example")
    func signature() throws {
        let signature = try #require(WebhookSignature(secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        let signed = signature.sign(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: 1_614_265_330,
            body: ByteBuffer(string: #"{"test": 2432232314}"#)
        )
        #expect(signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        #expect(WebhookSignature(secret: "") == nil)
        #expect(WebhookSignature(secret: "whsec_!") == nil)
    }

    @Test("an endpoint that fails gets each message again under the same id, and all of them in order")
    func retries() async throws {
        let endpoint = try await Endpoint.start(on: group) { number, _ in
            number % 3 == 0 ? .ok : number % 3 == 1 ? .serviceUnavailable : .tooManyRequests
        }
        let core = core()
        try await run(configuration(endpoint.url), core) { webhook in
            await publish(0..<4, core)
            let requests = try await endpoint.requests(12)
            #expect(requests.map { payload($0.body) } == (0..<4).flatMap { [String](repeating: "\($0)", count: 3) })
            #expect(Set(requests.map { $0.header("webhook-id") }).count == 4)
            #expect(requests[2].header("webhook-attempt") == "3")
        }
        try await endpoint.stop()
    }

    @Test("an endpoint that is not there, and then is, loses nothing within the queue's limit, and gets it in order")
    func outage() async throws {
        let port = try Endpoint.RefusingPort()
        let core = core()
        let topics = await SystemTopicWatcher(of: "hook", core)
        try await run(configuration(port.url), core) { webhook in
            await publish(0..<200, core)
            #expect(await topics.become { (8...).contains(Int($0["requests/failed"] ?? "") ?? 0) }, "\(topics.values)")
            #expect(webhook.statistics.circuit != .closed)
            #expect(webhook.statistics.delivered == 0)
            // The rest is where it belongs.
            #expect(webhook.statistics.waiting <= 2)
            let back = try await Endpoint.start(on: group, port: port.number) { _, _ in .ok }
            let requests = try await back.requests(200)
            #expect(requests.map { payload($0.body) } == (0..<200).map(String.init))
            #expect(webhook.statistics.circuit == .closed)
            try await back.stop()
        }
    }

    @Test("what has become of its messages is published under $SYS")
    func systemTopics() async throws {
        let endpoint = try await Endpoint.start(on: group) { number, request in
            request.body.contains("t/2") ? .badRequest : number > 3 ? .ok : .internalServerError
        }
        let core = core()
        let topics = await SystemTopicWatcher(of: "hook", core)
        try await run(configuration(endpoint.url), core) { _ in
            #expect(await topics.become(["circuit": "closed", "messages/waiting": "0"]))
            await publish(0..<4, core)
            let wanted = [
                "circuit": "closed", "requests": "7", "requests/failed": "3", "requests/retries": "3",
                "messages/delivered": "3", "messages/refused": "1", "messages/waiting": "0",
            ]
            #expect(await topics.become(wanted), "\(topics.values)")
        }
        try await endpoint.stop()
        try await run(configuration(endpoint.url), core) { _ in
            await publish(4..<9, core)
            #expect(await topics.become(["circuit": "open", "messages/waiting": "5"]), "\(topics.values)")
        }
    }

    @Test("an endpoint that does not answer in time has failed")
    func timeout() async throws {
        let endpoint = try await Endpoint.start(on: group) { number, _ in number == 1 ? nil : .ok }
        let core = core()
        try await run(configuration(endpoint.url) { $0.timeout = .milliseconds(200) }, core) { webhook in
            await publish(0..<1, core)
            let requests = try await endpoint.requests(2)
            #expect(requests.map { $0.header("webhook-attempt") } == ["1", "2"])
        }
        try await endpoint.stop()
    }

    @Test("a message that the endpoint refuses is dropped, and the next one goes")
    func refused() async throws {
        let endpoint = try await Endpoint.start(on: group) { _, request in
            request.body.contains("t/1") ? .unprocessableEntity : .ok
        }
        let core = core()
        let topics = await SystemTopicWatcher(of: "hook", core)
        try await run(configuration(endpoint.url), core) { webhook in
            await publish(0..<3, core)
            let requests = try await endpoint.requests(3)
            #expect(requests.map { payload($0.body) } == ["0", "1", "2"])
            #expect(await topics.become(["messages/delivered": "2", "messages/refused": "1"]), "\(topics.values)")
        }
        try await endpoint.stop()
    }

    @Test("batches are arrays, of what has gathered meanwhile")
    func batches() async throws {
        let endpoint = try await Endpoint.start(on: group) { _, _ in .ok }
        let core = core()
        let topics = await SystemTopicWatcher(of: "hook", core)
        try await run(configuration(endpoint.url) { $0.schedule.batch = 10 }, core) { webhook in
            await publish(0..<25, core)
            #expect(await topics.become(["messages/delivered": "25"]), "\(topics.values)")
        }
        let requests = try await endpoint.requests(1)
        #expect(requests.count < 25)
        #expect(requests.allSatisfy { $0.body.hasPrefix("[") && $0.body.hasSuffix("]") })
        let payloads = requests.flatMap { $0.body.matches(of: /"payload":"(\d+)"/).map { Int($0.output.1) ?? -1 } }
        #expect(payloads == Array(0..<25))
        try await endpoint.stop()
    }

    @Test("a graceful stop lets the request in progress end; what comes meanwhile is there at the next start")
    func restart() async throws {
        let endpoint = try await Endpoint.start(on: group) { _, _ in .ok }
        let core = core()
        try await run(configuration(endpoint.url), core) { webhook in
            await publish(0..<1, core)
            _ = try await endpoint.requests(1)
        }
        await publish(1..<3, core)
        try await run(configuration(endpoint.url), core) { _ in
            let requests = try await endpoint.requests(3)
            #expect(requests.map { payload($0.body) } == ["0", "1", "2"])
        }
        // Other topics now: the session has these, and no longer the former.
        try await run(configuration(endpoint.url) { $0.topics = ["other"] }, core) { _ in
            #expect(await core.perform { $0.sessionFilters(.own("webhook:hook")) } == ["other"])
        }
        try await endpoint.stop()
    }
}

extension Broker {
    /// What a client of that name is subscribed to, found out by taking its session over for a moment.
    fileprivate func sessionFilters(_ name: SessionName) -> [String] {
        let connection = VirtualConnection(
            transportProtocol: .mqtt,
            remoteAddress: "",
            outlet: .messages(MessageSink(capacity: 0, receive: { _ in }, closed: { _ in }))
        )
        var request = ConnectRequest(clientID: name.string, cleanStart: false, sessionExpiryInterval: 60)
        request.scope = name.isOwn ? .own : .clientID
        connect(request, on: connection) { _ in }
        defer { disconnect(connection, reason: .normalDisconnection) }
        return subscribedFilters(of: connection)
    }
}
