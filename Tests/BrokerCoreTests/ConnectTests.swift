import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct ConnectTests {
    @Test("[MQTT-3.2.2-2] accepts a new client without a session", arguments: ProtocolVersion.allCases)
    func accepts(_ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        #expect(client.connack?.sessionPresent == false)
        #expect(!client.isClosed)
        #expect(try client.ping())
    }

    @Test("[MQTT-3.2.2-9] tells its limits in CONNACK")
    func limits() throws {
        let test = TestBroker {
            $0.receiveMaximum = 7
            $0.maximumQoS = 1
            $0.retainAvailable = false
            $0.maximumPacketSize = 5_000
            $0.topicAliasMaximum = 3
        }
        let properties = try #require(try test.connect("a").connack).properties
        #expect(properties.receiveMaximum == 7)
        #expect(properties.maximumQoS == .atLeastOnce)
        #expect(properties.retainAvailable == false)
        #expect(properties.maximumPacketSize == 5_000)
        #expect(properties.topicAliasMaximum == 3)
        #expect(properties.assignedClientID == nil)
        #expect(properties.serverKeepAlive == nil)
        #expect(properties.sessionExpiryInterval == nil)
    }

    @Test("MQTT 5.0 §3.2.2.3.4 says nothing of what is not limited")
    func defaults() throws {
        let properties = try #require(try TestBroker().connect("a").connack).properties
        #expect(properties.maximumQoS == nil)
        #expect(properties.retainAvailable == nil)
        #expect(properties.topicAliasMaximum == 10)
    }

    @Test("[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] assigns a Client Identifier that can be used again")
    func assigned() throws {
        let test = TestBroker()
        let first = try test.connect("") { $0.properties.sessionExpiryInterval = 100 }
        let second = try test.connect("")
        let id = try #require(first.connack?.properties.assignedClientID)
        #expect(!id.isEmpty)
        #expect(id != second.connack?.properties.assignedClientID)
        first.drop()
        let again = try test.connect(id) { $0.cleanStart = false }
        #expect(again.connack?.sessionPresent == true)
    }

    @Test("[MQTT-3.1.3-6 of 3.1.1] [MQTT-3.1.3-7 of 3.1.1] takes an empty Client Identifier with CleanSession 1")
    func emptyClean() throws {
        let test = TestBroker()
        let first = try test.connect("", .v3_1_1)
        let second = try test.connect("", .v3_1_1)
        #expect(try first.ping())
        #expect(try second.ping())
    }

    @Test("[MQTT-3.1.3-8 of 3.1.1] [MQTT-3.1.3-9 of 3.1.1] answers an empty Client Identifier that is to be kept by 2")
    func emptyPersistent() throws {
        let client = TestBroker().open(.v3_1_1)
        let connack = try client.connect("") { $0.cleanStart = false }
        #expect(connack?.reasonCode == .clientIdentifierNotValid)
        #expect(client.isClosed)
    }

    @Test(
        "[MQTT-3.1.2-2] [MQTT-3.1.2-2 of 3.1.1] answers unknown Protocol Levels by return code 1",
        arguments: ["03", "06", "00", "7f", "83", "85"]
    )
    func unsupportedVersion(_ level: String) throws {
        let client = TestBroker().open(.v3_1_1)
        client.send(wire("10 * \"MQTT\" \(level) 02 003c \"id\""))
        #expect(
            try client.packets() == [.connack(Connack(sessionPresent: false, reasonCode: .unsupportedProtocolVersion))]
        )
        #expect(client.isClosed)
    }

    @Test("[MQTT-3.1.2-2] [MQTT-3.1.2-2 of 3.1.1] answers MQTT 3.1 by return code 1")
    func version31() throws {
        let client = TestBroker().open(.v3_1_1)
        client.send(wire("10 * \"MQIsdp\" 03 02 003c \"id\""))
        #expect(
            try client.packets() == [.connack(Connack(sessionPresent: false, reasonCode: .unsupportedProtocolVersion))]
        )
        #expect(client.isClosed)
    }

    @Test("[MQTT-3.1.2-1] closes on another Protocol Name without an answer")
    func otherProtocol() throws {
        let client = TestBroker().open()
        client.send(wire("10 * \"HTTP\" 05 02 003c {} \"id\""))
        #expect(client.isClosed)
        #expect(client.unreadBytes == 0)
    }

    @Test("[MQTT-3.1.4-1] tells an MQTT 5.0 client what was wrong with its CONNECT")
    func malformedConnect() throws {
        let client = TestBroker().open()
        client.send(wire("10 * \"MQTT\" 05 03 003c {} \"id\""))
        guard case .connack(let connack) = try #require(client.packets().first) else {
            Issue.record("no CONNACK")
            return
        }
        #expect(connack.reasonCode == .malformedPacket)
        #expect(connack.properties.reasonString == "the reserved Connect Flag is 1 [MQTT-3.1.2-3]")
        #expect(client.isClosed)
    }

    @Test("[MQTT-3.1.4-1] of 3.1.1 closes on a malformed CONNECT without an answer")
    func malformedConnect311() throws {
        let client = TestBroker().open(.v3_1_1)
        client.send(wire("10 * \"MQTT\" 04 03 003c \"id\""))
        #expect(client.isClosed)
        #expect(client.unreadBytes == 0)
    }

    @Test("[MQTT-4.12.0-1] has no Authentication Method to offer")
    func authenticationMethod() throws {
        let client = TestBroker().open()
        let connack = try client.connect("a") { $0.properties.authenticationMethod = "SCRAM-SHA-1" }
        #expect(connack?.reasonCode == .badAuthenticationMethod)
        #expect(client.isClosed)
    }

    @Test(
        "[MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-4.13.2-1] refuses credentials that are not good",
        arguments: ProtocolVersion.allCases
    )
    func credentials(_ version: ProtocolVersion) throws {
        let test = TestBroker(authenticator: OneUser())
        let wrong = test.open(version)
        let refused = try wrong.connect("a") {
            $0.userName = "ann"
            $0.password = ByteBuffer(string: "guess")
        }
        #expect(refused?.reasonCode == .badUserNameOrPassword)
        #expect(refused?.sessionPresent == false)
        #expect(wrong.isClosed)
        let banned = try test.open(version).connect("b") { $0.userName = "bob" }
        #expect(banned?.reasonCode == .notAuthorized)
        let right = try test.connect("a", version) {
            $0.userName = "ann"
            $0.password = ByteBuffer(string: "secret")
        }
        #expect(try right.ping())
    }

    @Test(
        "refuses a client above the connection limit, and lets one in when another leaves",
        arguments: ProtocolVersion.allCases
    )
    func connectionLimit(_ version: ProtocolVersion) throws {
        let test = TestBroker {
            $0.connections = 2
            $0.connectionShares = Shares(perAddress: 2)
        }
        let first = try test.connect("a", version)
        _ = try test.connect("b", version)
        let third = test.open(version)
        let refused = try third.connect("c")
        #expect(refused?.reasonCode == (version == .v5 ? .serverBusy : .serverUnavailable))
        #expect(third.isClosed)
        // Taking a session over needs no room.
        _ = try test.connect("b", version)
        first.disconnect()
        _ = try test.connect("c", version)
    }

    @Test("[MQTT-3.2.0-1] answers before anything that is sent to the session", arguments: ProtocolVersion.allCases)
    func connackFirst(_ version: ProtocolVersion) throws {
        let test = TestBroker()
        let subscriber = try test.connectPersistent("s", version)
        try subscriber.subscribe("t", qos: .atLeastOnce)
        subscriber.drop()
        try test.connect("p").publish("t", "waiting", qos: .atLeastOnce)
        let again = test.open(version)
        again.send(
            .connect(
                Connect(version: version, cleanStart: false, clientID: "s")
            )
        )
        let types = try again.packets().map(\.type)
        #expect(types == [.connack, .publish])
    }

    @Test("[MQTT-3.1.3-5] takes Client Identifiers of 1 to 23 letters and digits", arguments: ProtocolVersion.allCases)
    func clientIDs(_ version: ProtocolVersion) throws {
        let allowed = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        let test = TestBroker()
        for character in allowed { #expect(try test.connect("\(character)", version).ping()) }
        for length in 1...23 {
            #expect(try test.connect(String(allowed.prefix(length)), version).ping())
            #expect(try test.connect(String(allowed.suffix(length)), version).ping())
        }
    }

    @Test("[MQTT-3.12.4-1] answers each PINGREQ by a PINGRESP", arguments: ProtocolVersion.allCases)
    func ping(_ version: ProtocolVersion) throws {
        let client = try TestBroker().connect("a", version)
        client.send(wire("c000 c000"))
        #expect(try client.packets() == [.pingresp, .pingresp])
    }

    @Test("[MQTT-3.1.4-5] serves what comes together with CONNECT", arguments: ProtocolVersion.allCases)
    func pipelined(_ version: ProtocolVersion) throws {
        let client = TestBroker().open(version)
        var bytes = client.encoded(.connect(Connect(version: version, clientID: "a")))
        bytes.writeImmutableBuffer(client.encoded(.pingreq))
        client.send(bytes)
        #expect(try client.packets().map(\.type) == [.connack, .pingresp])
        #expect(client.writes == 1)
    }
}

/// Lets in ann with her secret, and nobody else.
private final class OneUser: Authenticator {
    func authenticate(_ credentials: Credentials) -> Authentication {
        if credentials.userName == "bob" { return .notAuthorized }
        guard credentials.userName == "ann", credentials.password == ByteBuffer(string: "secret") else {
            return .badCredentials
        }
        return .accepted(userName: "ann")
    }
}
