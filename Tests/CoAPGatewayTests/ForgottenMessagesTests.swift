import BrokerCore
import CoAPGateway
import MQTTCodec
import Testing

/// What is under way is over when its peer says so, and not before.
@Suite struct ForgottenMessagesTests {
    /// Begins a persistent session that observes `a`, and sends it messages until two are under way.
    ///
    /// - Returns: the session's query, and the notifications.
    private func observe(_ client: RawClient, _ gateway: TestGateway) async throws -> (String, [RawMessage]) {
        let connected = try client.ask(client.confirmable(Method.post, "/mqtt/connection?c=d&clean=0&ka=0"))
        let session = "c=d&t=\(connected.text)"
        _ = try client.ask(client.confirmable(Method.get, "/ps/a?\(session)", token: [1]).with(6, []))
        try await gateway.publish("a", ["1", "2"], qos: .atLeastOnce)
        return (session, [try client.expect(), try client.expect()])
    }

    @Test("a Reset of one notification is no acknowledgement of the next one: a persistent session keeps both")
    func resetOfOneOfTwo() async throws {
        try await withGateway(configuration: .local { $0.nstart = 2 }) { gateway in
            let client = try gateway.client().proven()
            let (session, notifications) = try await observe(client, gateway)
            #expect(notifications.map(\.text) == ["1", "2"])
            client.reset(notifications[0])
            #expect(try client.drain().isEmpty)
            _ = try client.ask(client.confirmable(Method.get, "/ps/a?\(session)", token: [2]).with(6, []))
            #expect([try client.expect().text, try client.expect().text] == ["1", "2"])
        }
    }

    @Test(
        "a response of the peer's own with a notification's token does not acknowledge it",
        arguments: [RawMessage.Kind.confirmable, .nonConfirmable]
    )
    func responseOfSameToken(kind: RawMessage.Kind) async throws {
        let configuration = CoAPListener.Configuration.local {
            $0.nstart = 2
            $0.acknowledgeTimeout = 1_000
        }
        try await withGateway(configuration: configuration) { gateway in
            let client = try gateway.client().proven()
            let (_, notifications) = try await observe(client, gateway)
            client.send(RawMessage(kind, 0x45, client.nextMessageID(), token: [1], payload: "x"))
            var again: [String] = []
            while again.count < notifications.count {
                let message = try client.expect()
                if message.kind == .confirmable { again.append(message.text) }
            }
            #expect(again.sorted() == notifications.map(\.text))
        }
    }

    @Test("RFC 7252 §4.2: an acknowledgement that carries a request is none")
    func requestInAcknowledgement() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            client.send(RawMessage(.acknowledgement, Method.post, 9, token: [1], payload: "x").to("/ps/a"))
            #expect(try client.drain().isEmpty)
            #expect(await gateway.received() == 0)
        }
    }
}
