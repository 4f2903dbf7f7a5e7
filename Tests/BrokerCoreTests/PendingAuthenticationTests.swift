import BrokerCore
import BrokerTestSupport
import CoreRuntime
import MQTTCodec
import NIOCore
import Testing

@Suite("An answer to CONNECT that takes its time") struct PendingAuthenticationTests {
    private let guardian = Slow()

    private func opened(_ test: TestBroker, _ version: ProtocolVersion = .v5) -> TestClient {
        let client = test.open(version)
        client.send(.connect(Connect(version: version, clientID: "c", userName: "alice")))
        return client
    }

    @Test("comes after it, and what was sent meanwhile is done then, in order", arguments: ProtocolVersion.allCases)
    func accepted(_ version: ProtocolVersion) throws {
        let test = TestBroker(authenticator: guardian)
        let client = opened(test, version)
        client.send(.subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "a")])))
        let publish = Publish(topic: try TopicName("a"), payload: ByteBuffer(string: "x"), qos: .atMostOnce)
        client.send(client.encoded(.publish(publish)), cutEvery: 3)
        client.feed(client.encoded(.pingreq).slice(length: 1))
        #expect(try client.packets().isEmpty)
        guardian.answer(.accepted(userName: "alice"))
        test.flush()
        let kinds = try client.packets().map { packet in
            switch packet {
            case .connack: "CONNACK"
            case .suback: "SUBACK"
            case .publish: "PUBLISH"
            default: "other"
            }
        }
        #expect(kinds == ["CONNACK", "SUBACK", "PUBLISH"])
        client.send(ByteBuffer(bytes: [0]))
        #expect(try client.packets() == [.pingresp])
    }

    @Test(
        "says why not",
        arguments: zip(["bad", "forbidden", "busy"], [ReasonCode.badUserNameOrPassword, .notAuthorized, .serverBusy])
    )
    func refused(_ answer: String, _ reason: ReasonCode) throws {
        let test = TestBroker(authenticator: guardian)
        let client = opened(test)
        client.send(.pingreq)
        guardian.answer(answer == "bad" ? .badCredentials : answer == "busy" ? .busy : .notAuthorized)
        test.flush()
        #expect(try client.packets() == [.connack(Connack(sessionPresent: false, reasonCode: reason))])
        #expect(client.isClosed)
    }

    @Test("finds nobody when the client has gone, and takes nothing over")
    func gone() throws {
        let test = TestBroker(authenticator: guardian)
        let first = opened(test)
        guardian.answer(.accepted(userName: "alice"))
        test.flush()
        let second = opened(test)
        second.drop()
        guardian.answer(.accepted(userName: "alice"))
        test.flush()
        #expect(!first.isClosed)
        #expect(test.broker.statistics.connections == 1)
    }

    @Test("[MQTT-3.1.4-1] that does not come in the connect timeout is no longer waited for")
    func timeout() throws {
        let test = TestBroker(authenticator: guardian)
        let client = opened(test)
        test.advance(seconds: 11)
        #expect(client.isClosed)
        guardian.answer(.accepted(userName: "alice"))
        test.flush()
        #expect(try client.packets().isEmpty)
        #expect(test.broker.statistics.connections == 0)
    }

    @Test("is no licence to send without end meanwhile")
    func tooMuch() throws {
        let test = TestBroker(authenticator: guardian) { $0.maximumPacketSize = 1_000 }
        let client = opened(test)
        for _ in 0..<10 {
            client.send(.publish(Publish(topic: try TopicName("a"), payload: ByteBuffer(repeating: 0, count: 180))))
        }
        let connack = try client.take { if case .connack(let connack) = $0 { connack } else { nil } }
        #expect(connack?.reasonCode == .quotaExceeded)
        #expect(client.isClosed)
    }

    @Test("that comes while the broker shuts down is Server unavailable")
    func shutdown() throws {
        let test = TestBroker(authenticator: guardian)
        let client = opened(test)
        test.broker.shutdown()
        guardian.answer(.accepted(userName: "alice"))
        test.flush()
        #expect(try client.packets() == [.connack(Connack(sessionPresent: false, reasonCode: .serverUnavailable))])
    }

    @Test("is asked for again when the credentials have changed since", arguments: [true, false])
    func outdated(_ isStillGood: Bool) throws {
        let test = TestBroker(authenticator: guardian)
        let client = opened(test)
        test.broker.credentialsChanged()
        guardian.answer(.accepted(userName: "alice"))
        test.flush()
        #expect(try client.packets().isEmpty)
        guardian.answer(isStillGood ? .accepted(userName: "alice") : .badCredentials)
        test.flush()
        let reason: ReasonCode = isStillGood ? .success : .badUserNameOrPassword
        let connack = try client.take { if case .connack(let connack) = $0 { connack } else { nil } }
        #expect(connack?.reasonCode == reason)
        #expect(client.isClosed != isStillGood)
        #expect(test.broker.statistics.connections == (isStillGood ? 1 : 0))
    }

    @Test("may have been there before anybody asked for it, and serves several")
    func shared() throws {
        let pending = PendingAuthentication()
        let test = TestBroker(authenticator: Same(pending))
        let waiting = opened(test)
        pending.answer(.accepted(userName: "alice"))
        pending.answer(.badCredentials)
        test.flush()
        #expect(try waiting.ping())
        let late = test.open()
        late.send(.connect(Connect(clientID: "d")))
        test.flush()
        #expect(try late.ping())
    }
}

/// Answers the oldest question when the test says so.
private final class Slow: Authenticator {
    private var asked: [PendingAuthentication] = []

    func authenticate(_ credentials: Credentials) -> Authentication {
        let pending = PendingAuthentication()
        asked.append(pending)
        return .pending(pending)
    }

    func answer(_ authentication: Authentication) { asked.removeFirst().answer(authentication) }
}

private final class Same: Authenticator {
    private let pending: PendingAuthentication

    init(_ pending: PendingAuthentication) { self.pending = pending }

    func authenticate(_ credentials: Credentials) -> Authentication { .pending(pending) }
}

extension ByteBuffer {
    fileprivate func slice(length: Int) -> ByteBuffer { getSlice(at: readerIndex, length: length) ?? ByteBuffer() }
}
