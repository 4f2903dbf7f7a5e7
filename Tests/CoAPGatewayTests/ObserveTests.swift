import BrokerCore
import CoAPGateway
import MQTTCodec
import Testing

/// Observe over a real socket (RFC 7641).
@Suite struct ObserveTests {
    private func observe(_ client: RawClient, _ uri: String, token: [UInt8] = [7]) throws -> RawMessage {
        let answer = try client.ask(client.confirmable(Method.get, uri, token: token).with(6, []))
        try #require(answer.codeText == "2.05")
        try #require(answer.observe != nil)
        return answer
    }

    @Test("ten QoS 0 messages published at once arrive as ten, in order, their numbers rising")
    func burstOfNonConfirmables() async throws {
        try await withGateway { gateway in
            let client = try gateway.client().proven()
            var last = try #require(try observe(client, "/ps/a").observe)
            try await gateway.publish("a", (0..<10).map(String.init))
            for expected in 0..<10 {
                let notification = try client.expect()
                #expect(notification.kind == .nonConfirmable)
                #expect(notification.codeText == "2.05")
                #expect(notification.text == "\(expected)")
                let number = try #require(notification.observe)
                #expect(number > last)
                last = number
            }
        }
    }

    @Test("ten QoS 1 messages published at once arrive as ten, each after the last one's acknowledgement")
    func burstOfConfirmables() async throws {
        try await withGateway(configuration: .local { $0.receiveMaximum = 3 }) { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a")
            try await gateway.publish("a", (0..<10).map(String.init), qos: .atLeastOnce)
            for expected in 0..<10 {
                let notification = try client.expect()
                #expect(notification.kind == .confirmable)
                #expect(notification.text == "\(expected)")
                // NSTART: nothing more comes before the acknowledgement.
                if expected == 4 { #expect(try client.drain().isEmpty) }
                client.acknowledge(notification)
            }
            #expect(try client.drain().isEmpty)
        }
    }

    @Test("RFC 7252 §4.4: a request with the Message ID of a notification under way acknowledges nothing")
    func sameMessageID() async throws {
        try await withGateway(configuration: .local { $0.acknowledgeTimeout = 1_000 }) { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a")
            try await gateway.publish("a", ["first", "second"], qos: .atLeastOnce)
            let first = try client.expect()
            #expect(first.text == "first")
            let request = RawMessage(.nonConfirmable, Method.post, first.messageID, token: [8], payload: "x")
            client.send(request.to("/ps/b"))
            // It comes again after ACK_TIMEOUT; only what acknowledges it lets the next one go.
            var isRepeated = false
            while let message = client.receive(), message.text != "second" {
                guard message.text == "first" else { continue }
                isRepeated = true
                client.acknowledge(message)
            }
            #expect(isRepeated)
        }
    }

    @Test("a non-confirmable notification does not overtake a confirmable one")
    func order() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a")
            try await gateway.publish("a", ["first"], qos: .atLeastOnce)
            try await gateway.publish("a", ["second"], qos: .atMostOnce)
            let first = try client.expect()
            #expect(first.text == "first")
            #expect(try client.drain().isEmpty)
            client.acknowledge(first)
            #expect(try client.expect().text == "second")
        }
    }

    @Test("the registration's response is the retained message, in the filter's case notifications are")
    func retained() async throws {
        try await withGateway { gateway in
            try await gateway.publish("s/1", ["one"], retain: true)
            try await gateway.publish("s/2", ["two"], retain: true)
            let client = try gateway.client().proven()
            #expect(try observe(client, "/ps/s/1").text == "one")
            #expect(try observe(client, "/ps/s/1?rh=2").text.isEmpty)
            #expect(try client.drain().isEmpty)
            #expect(try observe(client, "/ps/s/+", token: [8]).text.isEmpty)
            var topics: [String] = []
            for _ in 0..<2 { topics.append(try client.expect().locationPath.joined(separator: "/")) }
            #expect(topics.sorted() == ["ps/s/1", "ps/s/2"])
        }
    }

    @Test("a filter in the query is as good as one in the path")
    func filterInQuery() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps?topic=s/#")
            try await gateway.publish("s/1/2", ["x"])
            let notification = try client.expect()
            #expect(notification.text == "x")
            #expect(notification.locationPath == ["ps", "s", "1", "2"])
        }
    }

    @Test("RFC 7641 §3.6: a Reset of a non-confirmable notification unsubscribes")
    func resetOfNonConfirmable() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a")
            #expect(try await gateway.publish("a", ["1"]) == .success)
            client.reset(try client.expect())
            #expect(try client.drain().isEmpty)
            try await expectUnsubscribed(gateway, client, "a")
        }
    }

    @Test("RFC 7641 §3.6: a Reset of a confirmable notification unsubscribes, and the other observation goes on")
    func resetOfConfirmable() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a", token: [1])
            _ = try observe(client, "/ps/b", token: [2])
            try await gateway.publish("a", ["1", "2"], qos: .atLeastOnce)
            client.reset(try client.expect())
            try await expectUnsubscribed(gateway, client, "a")
            try await gateway.publish("b", ["3"])
            #expect(try client.expect().text == "3")
        }
    }

    @Test("RFC 7641 §3.6: GET with Observe 1 unsubscribes")
    func deregistration() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a")
            let answer = try client.ask(client.confirmable(Method.get, "/ps/a").with(6, integer: 1))
            #expect(answer.codeText == "2.05")
            #expect(answer.observe == nil)
            try await expectUnsubscribed(gateway, client, "a")
        }
    }

    @Test("RFC 7641 §4.5: a confirmable notification that is never acknowledged unsubscribes")
    func unacknowledged() async throws {
        let configuration = CoAPListener.Configuration.local {
            $0.acknowledgeTimeout = 1_000
            $0.maximumRetransmissions = 1
        }
        try await withGateway(configuration: configuration) { gateway in
            let client = try gateway.client()
            _ = try observe(client, "/ps/a")
            try await gateway.publish("a", ["1"], qos: .atLeastOnce)
            let first = try client.expect()
            #expect(try client.expect().messageID == first.messageID)
            let other = try gateway.client()
            try await expectUnsubscribed(gateway, other, "a")
        }
    }

    @Test("the same token again refreshes an observation: one notification a message, numbers go on")
    func refresh() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let first = try #require(try observe(client, "/ps/a").observe)
            let second = try #require(try observe(client, "/ps/a").observe)
            #expect(second > first)
            try await gateway.publish("a", ["x"])
            #expect(try client.expect().text == "x")
            #expect(try client.drain().isEmpty)
        }
    }

    @Test("overlapping observations get a notification each")
    func overlapping() async throws {
        try await withGateway { gateway in
            let client = try gateway.client().proven()
            _ = try observe(client, "/ps/a/b", token: [1])
            _ = try observe(client, "/ps/a/+", token: [2])
            try await gateway.publish("a/b", ["x"])
            let tokens = [try client.expect().token, try client.expect().token]
            #expect(Set(tokens) == [[1], [2]])
            #expect(try client.drain().isEmpty)
        }
    }

    @Test("RFC 7641 §4.2: an observer whose session is taken over is told so, and it is over")
    func takenOver() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let connect = try client.ask(client.confirmable(Method.post, "/mqtt/connection?c=thing"))
            _ = try observe(client, "/ps/a?c=thing&t=\(connect.text)")
            await gateway.takeOver("thing")
            let last = try client.expect()
            #expect(last.codeText == "4.09")
            #expect(last.text == "Session taken over")
            #expect(last.observe == nil)
            client.acknowledge(last)
            _ = try observe(client, "/ps/a?c=thing")
            try await gateway.publish("a", ["x"])
            #expect(try client.expect().text == "x")
            // It has no session, and so none that is taken over.
            await gateway.takeOver("thing")
            try await gateway.publish("a", ["y"])
            #expect(try client.expect().text == "y")
        }
    }

    /// Asks the broker until it knows of no subscriber: what the client said reaches it through two threads.
    private func expectUnsubscribed(_ gateway: TestGateway, _ client: RawClient, _ topic: String) async throws {
        // Looks are counted, not seconds: a busy machine may stand still between two of them.
        for _ in 0..<200 {
            if try await gateway.publish(topic, ["?"]) == .noMatchingSubscribers { return }
            _ = client.receive(within: 50)
        }
        Issue.record("\(topic) still has a subscriber")
    }
}
