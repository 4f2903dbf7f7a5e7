import BrokerCore
import CoAPGateway
import CoreRuntime
import MQTTCodec
import Testing

@Suite struct ListenerTests {
    @Test("POST publishes, PUT retains, GET reads, DELETE clears")
    func methods() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            #expect(try client.ask(client.confirmable(Method.get, "/ps/a/b")).codeText == "4.04")
            #expect(try client.ask(client.confirmable(Method.post, "/ps/a/b", payload: "gone")).codeText == "2.04")
            #expect(try client.ask(client.confirmable(Method.put, "/ps/a/b", payload: "kept")).codeText == "2.01")
            #expect(try client.ask(client.confirmable(Method.put, "/r/a/b", payload: "kept2")).codeText == "2.04")
            let read = try client.ask(client.confirmable(Method.get, "/ps/a/b"))
            #expect(read.codeText == "2.05")
            #expect(read.text == "kept2")
            #expect(read.kind == .acknowledgement)
            #expect(read.integer(14) == 60)
            let eTag = try #require(read.option(4))
            let valid = try client.ask(client.confirmable(Method.get, "/ps/a/b").with(4, eTag))
            #expect(valid.codeText == "2.03")
            #expect(valid.payload.isEmpty)
            #expect(try client.ask(client.confirmable(Method.delete, "/ps/a/b")).codeText == "2.02")
            #expect(try client.ask(client.confirmable(Method.get, "/ps/a/b")).codeText == "4.04")
            #expect(await gateway.received() == 4)
        }
    }

    @Test("RFC 7252 §5.5.2: errors say what is wrong by the MQTT reason's name")
    func diagnostics() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let wildcard = try client.ask(client.confirmable(Method.post, "/ps/a/+", payload: "x"))
            #expect(wildcard.codeText == "4.00")
            #expect(wildcard.text.hasPrefix("Topic Name invalid"))
            for method: UInt8 in [5, 6, 7] {
                #expect(try client.ask(client.confirmable(method, "/ps/a", payload: "x")).codeText == "4.05")
            }
            #expect(try client.ask(client.confirmable(Method.get, "/elsewhere")).codeText == "4.04")
        }
    }

    @Test("links point at the topics")
    func wellKnownCore() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let links = try client.ask(client.confirmable(Method.get, "/.well-known/core"))
            #expect(links.text == "</ps>;rt=\"core.ps\";ct=40")
            #expect(links.integer(12) == 40)
            #expect(try client.ask(client.confirmable(Method.get, "/.well-known/core?rt=core.*")).text == links.text)
            #expect(try client.ask(client.confirmable(Method.get, "/.well-known/core?rt=other")).text.isEmpty)
        }
    }

    @Test("[MQTT-3.1.2-8] a shutdown publishes the wills of CoAP sessions, as it does those of others")
    func willAtShutdown() async throws {
        var core: CoreLoop?
        try await withGateway { gateway in
            core = gateway.core
            let client = try gateway.client()
            let path = "/mqtt/connection?clientid=d&will-topic=gone&will-payload=d&will-retain=1"
            #expect(try client.ask(client.confirmable(Method.post, path)).codeText == "2.01")
        }
        #expect(await core?.perform { $0.retainedCount } == 1)
    }

    @Test("who says nothing of itself is told what is wanted, in as few words as an unproven address may get")
    func nameless() async throws {
        try await withGateway(authenticator: NobodyUnknown()) { gateway in
            let client = try gateway.client()
            let answer = try client.ask(client.confirmable(Method.get, "/ps/a"))
            #expect(answer.codeText == "4.01" && answer.text == "?u=USER&p=PASSWORD")
            // Words that do not fit end between two of them.
            let words = "Malformed Packet: q must be a number from 0 to 2"
            let cut = try client.ask(client.confirmable(Method.get, "/ps/a?q=9"))
            #expect(cut.codeText == "4.00" && words.hasPrefix(cut.text + " "))
            let whole = try client.ask(client.confirmable(Method.get, "/ps/a-longer-topic?q=9"))
            #expect(whole.text == words)
        }
    }

    @Test("a port in use is refused in words, and does not steal the datagrams of who had it")
    func portInUse() async throws {
        try await withGateway { gateway in
            await #expect(throws: ListenFailed.self) {
                try await withGateway(configuration: .local { $0.port = gateway.port }) { _ in }
            }
            let client = try gateway.client()
            #expect(try client.ask(client.confirmable(Method.get, "/ps/a")).codeText == "4.04")
        }
    }

    @Test("what is sent to everybody is carried out by nobody", arguments: ["0.0.0.0", "::"])
    func broadcast(host: String) async throws {
        try await withGateway(configuration: .local { $0.host = host }) { gateway in
            let everybody = try RawClient(port: gateway.port, address: 0x7fff_ffff)
            everybody.send(everybody.nonConfirmable(Method.post, "/ps/a", payload: "x"))
            let another = try RawClient(port: gateway.port, address: 0x7f00_0005)
            #expect(try another.ask(another.confirmable(Method.post, "/ps/a", payload: "x")).codeText == "2.04")
            #expect(await gateway.received() == 1)
        }
    }

    @Test(
        "answers and notifications come from the one of several addresses that was asked",
        arguments: ["0.0.0.0", "::"]
    )
    func severalAddresses(host: String) async throws {
        try await withGateway(configuration: .local { $0.host = host }) { gateway in
            let (first, second) = (UInt32(0x7f00_0002), UInt32(0x7f00_0003))
            let client = try RawClient(port: gateway.port, address: first)
            #expect(try client.ask(client.confirmable(Method.get, "/ps/a").with(6, [])).observe != nil)
            try client.turn(to: second, port: gateway.port)
            #expect(try client.ask(client.confirmable(Method.get, "/ps/b")).codeText == "4.04")
            // What comes from elsewhere does not arrive.
            try client.turn(to: first, port: gateway.port)
            try await gateway.publish("a", ["x"])
            #expect(try client.expect().text == "x")
        }
    }

    @Test("who guesses Message IDs proves nothing")
    func guesses() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            #expect(try client.ask(client.confirmable(Method.get, "/ps/a").with(6, [])).observe != nil)
            try await gateway.publish("a", ["1", "2", "3"])
            let first = try client.expect()
            #expect(first.kind == .confirmable)
            for offset in 1...20 {
                client.send(RawMessage(.acknowledgement, 0, first.messageID &+ UInt16(offset) &+ 100))
            }
            client.acknowledge(first)
            // Still one at a time.
            let second = try client.expect()
            #expect(second.kind == .confirmable && second.text == "2")
            #expect(try client.drain().isEmpty)
        }
    }

    @Test("an observer is told when the listener ends")
    func shutdown() async throws {
        var client: RawClient?
        try await withGateway { gateway in
            let observer = try gateway.client().proven()
            #expect(try observer.ask(observer.confirmable(Method.get, "/ps/a").with(6, [])).observe != nil)
            client = observer
        }
        let last = try #require(try client?.expect())
        #expect(last.codeText == "5.03")
        #expect(last.text == "Server shutting down")
    }

    @Test("a listener ends while a notification waits for its acknowledgement and others wait behind it")
    func shutdownWhileSending() async throws {
        var client: RawClient?
        try await withGateway { gateway in
            let observer = try gateway.client()
            _ = try observer.ask(observer.confirmable(Method.get, "/ps/a").with(6, []))
            try await gateway.publish("a", ["1", "2", "3"], qos: .atLeastOnce)
            #expect(try observer.expect().text == "1")
            client = observer
        }
        #expect(try client?.expect().codeText == "5.03")
    }

    @Test("an endpoint that was idle for long is disconnected from the broker")
    func idleTimeout() async throws {
        var limits = Limits()
        limits.connections = 1
        try await withGateway(limits: limits, configuration: .local { $0.idleTimeout = 1 }) { gateway in
            let first = try gateway.client()
            #expect(try first.ask(first.confirmable(Method.post, "/ps/a", payload: "x")).codeText == "2.04")
            let second = try gateway.client()
            let refused = try second.ask(second.confirmable(Method.post, "/ps/a", payload: "x"))
            #expect(refused.codeText == "5.03")
            #expect(refused.integer(14) != nil)
            #expect(refused.text == "Server busy")
            var code = ""
            for _ in 0..<200 where code != "2.04" {
                code = try second.ask(second.confirmable(Method.post, "/ps/a", payload: "x")).codeText
                if code != "2.04" { _ = second.receive(within: 50) }
            }
            #expect(code == "2.04")
        }
    }

    @Test("the endpoint idle longest gives way when there are many, one that observes does not")
    func idleEndpoints() async throws {
        var limits = Limits()
        // The observer, one more endpoint, and who publishes in the end.
        limits.connections = 3
        limits.connectionShares = Shares(perAddress: 3)
        try await withGateway(limits: limits, configuration: .local { $0.idleEndpoints = 1 }) { gateway in
            let observer = try gateway.client()
            #expect(try observer.ask(observer.confirmable(Method.get, "/ps/a").with(6, [])).observe != nil)
            for _ in 0..<3 {
                let client = try gateway.client()
                #expect(try client.ask(client.confirmable(Method.post, "/ps/b", payload: "x")).codeText == "2.04")
            }
            try await gateway.publish("a", ["still there"])
            #expect(try observer.expect().text == "still there")
        }
    }

    @Test("IPv6 is served, and IPv4 through it")
    func addressFamilies() async throws {
        var configuration = CoAPListener.Configuration.local()
        configuration.host = "::"
        try await withGateway(configuration: configuration) { gateway in
            for overIPv6 in [false, true] {
                let client = try RawClient(port: gateway.port, overIPv6: overIPv6)
                let observer = try RawClient(port: gateway.port, overIPv6: overIPv6)
                #expect(try observer.ask(observer.confirmable(Method.get, "/ps/a").with(6, [])).observe != nil)
                #expect(try client.ask(client.confirmable(Method.post, "/ps/a", payload: "x")).codeText == "2.04")
                #expect(try observer.expect().text == "x")
            }
        }
    }

    @Test(
        "a device behind a NAT that gives it another port, or another address family, keeps its queue",
        arguments: [false, true]
    )
    func rebinding(toIPv6: Bool) async throws {
        var configuration = CoAPListener.Configuration.local()
        configuration.host = "::"
        try await withGateway(configuration: configuration) { gateway in
            let before = try RawClient(port: gateway.port, overIPv6: true)
            let token = try before.ask(before.confirmable(Method.post, "/mqtt/connection?c=d&clean=0&ka=0")).text
            let registration = before.confirmable(Method.get, "/ps/a?q=1&c=d&t=\(token)", token: [1])
            #expect(try before.ask(registration.with(6, [])).observe != nil)
            let payloads = (1...40).map(String.init)
            try await gateway.publish("a", payloads, qos: .atLeastOnce)
            // The first comes where the device was; its acknowledgement does not arrive.
            #expect(try before.expect().text == "1")
            let after = try RawClient(port: gateway.port, overIPv6: toIPv6)
            let heartbeat = after.confirmable(Method.put, "/mqtt/connection?c=d&t=\(token)", token: [2])
            after.send(heartbeat)
            var isHeard = false
            var received: [String] = []
            while received.count < payloads.count || !isHeard {
                let message = try after.expect()
                if message.messageID == heartbeat.messageID, message.kind == .acknowledgement {
                    isHeard = message.codeText == "2.04"
                    continue
                }
                #expect(message.kind == .confirmable && message.token == [1])
                received.append(message.text)
                after.acknowledge(message)
            }
            #expect(received == payloads)
        }
    }

    @Test("credentials travel in the query, and the lack of them is 4.01")
    func credentials() async throws {
        try await withGateway(authenticator: OnlyAlice()) { gateway in
            let client = try gateway.client()
            let anonymous = try client.ask(client.confirmable(Method.post, "/ps/a", payload: "x"))
            #expect(anonymous.codeText == "4.01")
            let wrong = try client.ask(client.confirmable(Method.post, "/ps/a?u=alice&p=no", payload: "x"))
            #expect(wrong.codeText == "4.01")
            let bob = try client.ask(client.confirmable(Method.post, "/ps/a?u=bob&p=rabbit", payload: "x"))
            #expect(bob.codeText == "4.03")
            let alice = try client.ask(client.confirmable(Method.post, "/ps/a?u=alice&p=rabbit", payload: "x"))
            #expect(alice.codeText == "2.04")
        }
    }
}

/// Lets nobody in who does not say who it is.
private final class NobodyUnknown: Authenticator {
    func authenticate(_ credentials: Credentials) -> Authentication {
        credentials.userName == nil ? .notAuthorized : .accepted(userName: credentials.userName)
    }
}
