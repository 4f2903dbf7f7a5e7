import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import Testing

/// What was told, of every level and as often as it happens.
private final class Told: EventSink {
    private let box = NIOLockedValueBox<[Event]>([])

    var all: [Event] { box.withLockedValue { $0 } }

    func note(_ kind: Event.Kind, of network: ClientNetwork?, level: Event.Level?, _ fields: () -> [Event.Field]) {
        let event = Event(kind, level: level, fields())
        box.withLockedValue { $0.append(event) }
    }
}

extension Event {
    fileprivate subscript(key: Key) -> Value? { fields.first { $0.key == key }?.value }
}

@Suite struct ClientEventTests {
    private let told = Told()

    private final class OnlyOwn: Authorizer {
        func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { topic.hasPrefix("own/") }
        func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { filter.hasPrefix("own/") }
        func rule(against action: Event.Action, _ topic: String, client: ClientIdentity) -> String? { "acl:7" }
    }

    private func events(_ kind: Event.Kind) -> [Event] { told.all.filter { $0.kind == kind } }

    @Test(
        "a PUBLISH and a SUBSCRIBE that are forbidden have a line with client, topic and rule",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func publishSUBSCRIBEForbiddenLine(
        version: ProtocolVersion
    ) throws {
        let test = TestBroker(authorizer: OnlyOwn(), events: told)
        let client = try test.connect("lamp", version)
        _ = try client.publish("other/x", qos: .atLeastOnce)
        _ = try client.sendPublish("$SYS/x")
        _ = try client.subscribe("other/#")
        let wanted = [("publish", "other/x", "acl:7"), ("publish", "$SYS/x", nil), ("subscribe", "other/#", "acl:7")]
        #expect(events(.accessDenied).count == 3)
        for (event, (action, topic, rule)) in zip(events(.accessDenied), wanted) {
            #expect(event[.clientID] == .text("lamp"))
            #expect(event[.action] == .text(action))
            #expect(event[.topic] == .text(topic))
            #expect(event[.rule] == rule.map(Event.Value.text))
            #expect(event[.protocolName] == .text("mqtt"))
            #expect(event[.address] == .text("192.0.2.1:50000"))
            #expect(event[.reasonCode] == .number(0x87))
            #expect(event.level == .info)
        }
    }

    @Test("a will that may not be published has a line") func willNotPublishedLine() throws {
        let test = TestBroker(authorizer: OnlyOwn(), events: told)
        let gone = try TopicName("other/gone")
        let client = try test.connect("lamp") {
            $0.will = Will(topic: gone, payload: ByteBuffer())
        }
        client.drop()
        #expect(events(.accessDenied).map { $0[.action] } == [.text("will")])
        #expect(events(.accessDenied).first?[.topic] == .text("other/gone"))
        #expect(events(.accessDenied).first?[.clientID] == .text("lamp"))
    }

    @Test("a subscription above the limit, and a message above the rate, have a line")
    func subscriptionAboveLimitMessage() throws {
        let test = TestBroker(events: told) {
            $0.subscriptionsPerSession = 1
            $0.publishRate = 1
        }
        let client = try test.connect("home", .v3_1_1)
        _ = try client.subscribe("a", "b")
        #expect(events(.limitReached).map { $0[.topic] } == [.text("b")])
        for _ in 0..<3 { _ = try client.sendPublish("t") }
        #expect(events(.limitReached).dropFirst().allSatisfy { $0[.action] == .text("publish") })
        #expect(events(.limitReached).count > 1)
    }

    @Test("a client that is not let in has a line with both of its names") func clientNotLetLine() throws {
        let test = TestBroker(authenticator: Nobody(), events: told)
        for version in [ProtocolVersion.v3_1_1, .v5] {
            let client = test.open(version)
            try client.connect("lamp") { $0.userName = "ann" }
        }
        #expect(events(.clientRefused).count == 2)
        for event in events(.clientRefused) {
            #expect(event[.clientID] == .text("lamp"))
            #expect(event[.userName] == .text("ann"))
            #expect(event[.reason] == .text("Not authorized"))
            #expect(event[.detail] == .text("the token: it expired 3 s ago"))
        }
    }

    @Test("a client of 3.1.1 without an identifier that wants a session has a line") func client311() throws {
        let test = TestBroker(events: told)
        let client = test.open(.v3_1_1)
        try client.connect("") { $0.cleanStart = false }
        #expect(client.connack?.reasonCode == .clientIdentifierNotValid)
        #expect(events(.clientRefused).map { $0[.reason] } == [.text("Client Identifier not valid")])
    }

    @Test("the end of a connection is told in words") func endConnectionToldWords() throws {
        let test = TestBroker(events: told)
        try test.connect("a").drop()
        let client = try test.connect("b")
        client.send(.disconnect(Disconnect(reasonCode: .normalDisconnection)))
        #expect(
            events(.clientDisconnected).map { $0[.reason] } == [
                .text("the connection was closed without DISCONNECT"), .text("the client has left"),
            ]
        )
    }

    @Test("a queue that is full is told at once, and then once a minute with what it has dropped")
    func queueFullToldOnce() throws {
        let test = TestBroker(events: told, queue: { $0.messages = 1 })
        let away = try test.connectPersistent("away")
        _ = try away.subscribe("t", qos: .atLeastOnce)
        away.drop()
        let sender = try test.connect("sender")
        func send() throws { _ = try sender.publish("t", "x", qos: .atLeastOnce) }
        for _ in 0..<4 { try send() }
        #expect(events(.queueOverflow).map { $0[.count] } == [.number(1)])
        test.advance(seconds: 61)
        try send()
        #expect(events(.queueOverflow).map { $0[.count] } == [.number(1), .number(3)])
        #expect(events(.queueOverflow).allSatisfy { $0[.clientID] == .text("away") })
    }

    private final class Nobody: Authenticator {
        func authenticate(_ credentials: Credentials) -> Authentication {
            .refused(.notAuthorized, detail: "the token: it expired 3 s ago")
        }
    }
}
