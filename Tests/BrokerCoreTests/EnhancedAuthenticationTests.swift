import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite("MQTT 5.0 §4.12 enhanced authentication") struct EnhancedAuthenticationTests {
    private let test = TestBroker(enhancedAuthenticator: Riddles())

    private func auth(_ reason: ReasonCode, _ text: String?, method: String? = "RIDDLE") -> Packet {
        .auth(
            Auth(
                reasonCode: reason,
                authenticationMethod: method,
                authenticationData: text.map { ByteBuffer(string: $0) }
            )
        )
    }

    /// A client that has named itself and was asked its riddle.
    private func challenged(_ test: TestBroker, _ configure: (inout Connect) -> Void = { _ in }) throws -> TestClient {
        let client = test.open()
        var connect = Connect(clientID: "c")
        connect.properties.authenticationMethod = "RIDDLE"
        connect.properties.authenticationData = ByteBuffer(string: "alice")
        configure(&connect)
        client.send(.connect(connect))
        return client
    }

    /// A client that has answered it.
    private func authenticated(_ configure: (inout Connect) -> Void = { _ in }) throws -> TestClient {
        let client = try challenged(test, configure)
        client.send(auth(.continueAuthentication, "time"))
        _ = try client.packets()
        return client
    }

    private func connack(_ client: TestClient) throws -> Connack {
        try #require(try client.take { if case .connack(let connack) = $0 { connack } else { nil } })
    }

    @Test(
        "[MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.15.2-1] an exchange of AUTH ends in CONNACK, all with the method of CONNECT"
    )
    func accepted() throws {
        let client = try challenged(test)
        #expect(try client.packets() == [auth(.continueAuthentication, "what flies, alice?")])
        client.send(auth(.continueAuthentication, "time"))
        let connack = try connack(client)
        #expect(connack.reasonCode == .success)
        #expect(connack.properties.authenticationMethod == "RIDDLE")
        #expect(connack.properties.authenticationData == ByteBuffer(string: "welcome"))
        #expect(try client.ping())
    }

    @Test("[MQTT-4.12.0-2] a method may begin without Authentication Data, and end at once")
    func noData() throws {
        let client = try challenged(test) { $0.properties.authenticationData = nil }
        #expect(try client.packets() == [auth(.continueAuthentication, nil)])
        client.send(auth(.continueAuthentication, "alice"))
        #expect(try client.packets() == [auth(.continueAuthentication, "what flies, alice?")])
        let known = try challenged(test) { $0.properties.authenticationData = ByteBuffer(string: "friend") }
        #expect(try connack(known).reasonCode == .success)
    }

    @Test("[MQTT-4.12.0-4] a wrong answer gets CONNACK with a Reason Code, and the connection closes")
    func refused() throws {
        let client = try challenged(test)
        _ = try client.packets()
        client.send(auth(.continueAuthentication, "a kite"))
        #expect(try connack(client).reasonCode == .badUserNameOrPassword)
        #expect(client.isClosed)
        #expect(test.broker.statistics.connections == 0)
    }

    @Test("[MQTT-4.12.0-1] a method that is not offered gets CONNACK 0x8C, and the connection closes")
    func unknownMethod() throws {
        let client = test.open()
        let connack = try client.connect("c") { $0.properties.authenticationMethod = "riddle" }
        #expect(connack == Connack(sessionPresent: false, reasonCode: .badAuthenticationMethod))
        #expect(client.isClosed)
    }

    @Test("[MQTT-3.1.2-30] [MQTT-3.2.0-1] nothing but AUTH and DISCONNECT is taken before CONNACK")
    func onlyAuth() throws {
        let packets: [Packet] = [
            .pingreq, .subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "a")])),
            .publish(Publish(topic: try TopicName("a"), payload: ByteBuffer(), qos: .atMostOnce)),
            .connect(Connect(clientID: "c")),
        ]
        for packet in packets {
            let client = try challenged(test)
            _ = try client.packets()
            client.send(packet)
            #expect(try connack(client).reasonCode == .protocolError)
            #expect(client.isClosed)
        }
        let leaving = try challenged(test)
        _ = try leaving.packets()
        leaving.disconnect()
        #expect(leaving.isClosed)
        #expect(try leaving.packets().isEmpty)
    }

    @Test("[MQTT-3.1.4-6] what follows a CONNECT that is refused in the exchange is not processed")
    func pipelined() throws {
        let watcher = try test.connect("w")
        try watcher.subscribe("a")
        let client = try challenged(test)
        var bytes = client.encoded(auth(.continueAuthentication, "a kite"))
        let publish = Publish(topic: try TopicName("a"), payload: ByteBuffer(), qos: .atMostOnce)
        bytes.writeImmutableBuffer(client.encoded(.publish(publish)))
        client.send(bytes)
        #expect(client.isClosed)
        #expect(try watcher.messages().isEmpty)
    }

    @Test("[MQTT-3.1.4-1] the connect timeout goes on during the exchange")
    func timeout() throws {
        let client = try challenged(test)
        test.advance(seconds: 9)
        #expect(!client.isClosed)
        test.advance(seconds: 2)
        #expect(client.isClosed)
    }

    @Test(
        "[MQTT-4.12.0-5] [MQTT-4.12.0-7] AUTH out of turn, without a method or with another one is a protocol error",
        arguments: [
            (ReasonCode.continueAuthentication, String?.none), (.continueAuthentication, "OTHER"),
            (.success, "RIDDLE"), (.reauthenticate, "RIDDLE"),
        ]
    )
    func outOfTurn(_ reason: ReasonCode, _ method: String?) throws {
        let client = try challenged(test)
        _ = try client.packets()
        client.send(auth(reason, "time", method: method))
        #expect(try connack(client).reasonCode == .protocolError)
        #expect(client.isClosed)
    }

    @Test("[MQTT-4.12.0-6] [MQTT-4.12.0-7] a client without a method is sent none, and its AUTH is a protocol error")
    func withoutMethod() throws {
        for reason in [ReasonCode.continueAuthentication, .reauthenticate] {
            let client = try test.connect("c")
            #expect(client.connack?.properties.authenticationMethod == nil)
            client.send(auth(reason, "alice"))
            #expect(try client.wasEnded(.protocolError))
        }
    }

    @Test("[MQTT-4.12.1-1] a live client authenticates anew by AUTH 0x19 with its method, and goes on meanwhile")
    func again() throws {
        let client = try authenticated()
        client.send(auth(.reauthenticate, "alice"))
        #expect(try client.packets() == [auth(.continueAuthentication, "what flies, alice?")])
        #expect(try client.ping())
        client.send(auth(.continueAuthentication, "time"))
        #expect(try client.packets() == [auth(.success, "welcome")])
        client.send(auth(.reauthenticate, "friend"))
        #expect(try client.packets() == [auth(.success, nil)])
        #expect(!client.isClosed)
    }

    @Test("[MQTT-4.12.1-1] [MQTT-4.12.0-5] authenticating anew by another method is a protocol error")
    func againOtherwise() throws {
        let client = try authenticated()
        client.send(auth(.reauthenticate, "alice", method: "OTHER"))
        #expect(try client.wasEnded(.protocolError))
    }

    @Test("[MQTT-4.12.1-2] authenticating anew that fails gets DISCONNECT 0x87, and the connection closes")
    func againRefused() throws {
        let client = try authenticated()
        client.send(auth(.reauthenticate, "alice"))
        _ = try client.packets()
        client.send(auth(.continueAuthentication, "a kite"))
        #expect(try client.wasEnded(.notAuthorized))
    }

    @Test("[MQTT-4.12.1-2] nobody becomes another user by authenticating anew")
    func againAsAnother() throws {
        let client = try authenticated()
        client.send(auth(.reauthenticate, "bob"))
        _ = try client.packets()
        client.send(auth(.continueAuthentication, "time"))
        #expect(try client.wasEnded(.notAuthorized))
    }

    @Test("[MQTT-4.12.1-1] AUTH that belongs to no exchange is a protocol error on a live connection, too")
    func againOutOfTurn() throws {
        for reason in [ReasonCode.continueAuthentication, .success] {
            let client = try authenticated()
            client.send(auth(reason, "time"))
            #expect(try client.wasEnded(.protocolError))
        }
        let twice = try authenticated()
        twice.send(auth(.reauthenticate, "alice"))
        _ = try twice.packets()
        twice.send(auth(.reauthenticate, "alice"))
        #expect(try twice.wasEnded(.protocolError))
    }

    @Test(
        "[MQTT-3.15.2-2] [MQTT-3.15.2-3] [MQTT-3.1.2-24] AUTH has nothing to leave out: one too large ends the exchange"
    )
    func tooLarge() throws {
        let client = try challenged(test) { $0.properties.maximumPacketSize = 20 }
        #expect(try connack(client).reasonCode == .packetTooLarge)
        #expect(client.isClosed)
    }

    @Test("[MQTT-3.15.1-1] AUTH with other flags than 0000 closes")
    func flags() throws {
        let client = try authenticated()
        client.send(wire("f1 00"))
        #expect(try client.wasEnded(.malformedPacket))
    }

    @Test("the session belongs to the user of the exchange, and takes over as any other")
    func session() throws {
        let first = try authenticated { $0.properties.sessionExpiryInterval = 100 }
        let second = try challenged(test) { $0.cleanStart = false }
        #expect(!first.isClosed)
        second.send(auth(.continueAuthentication, "time"))
        #expect(try first.wasEnded(.sessionTakenOver))
        #expect(try connack(second).sessionPresent)
    }

    @Test("whom a certificate names can't become somebody else by an Authentication Method", arguments: [nil, "lamp"])
    func certificate(identity: String?) {
        let broker = Broker(enhancedAuthenticator: Riddles(), now: .now())
        let connection = VirtualConnection(
            transportProtocol: .mqtt,
            remoteAddress: "",
            transportIdentity: identity,
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
        let begun = broker.beginAuthentication("RIDDLE", ConnectRequest(clientID: "c"), on: connection)
        switch begun {
        case .success: #expect(identity == nil)
        case .failure(let refused): #expect(identity != nil && refused.reasonCode == .badAuthenticationMethod)
        }
    }
}

/// The method RIDDLE: a name, a question, the answer.
private final class Riddles: EnhancedAuthenticator {
    func begin(_ method: String, for credentials: Credentials) -> (any AuthenticationExchange)? {
        method == "RIDDLE" ? Riddle() : nil
    }

    private final class Riddle: AuthenticationExchange {
        private var name: String?

        func step(_ message: ByteBuffer?) -> AuthenticationStep {
            guard let message else { return .continue(nil) }
            guard let name else {
                let name = String(buffer: message)
                if name == "friend" { return .accepted(userName: "alice", nil) }
                self.name = name
                return .continue(ByteBuffer(string: "what flies, \(name)?"))
            }
            guard String(buffer: message) == "time" else {
                return .refused(.badUserNameOrPassword, detail: "the answer is wrong")
            }
            return .accepted(userName: name, ByteBuffer(string: "welcome"))
        }
    }
}
