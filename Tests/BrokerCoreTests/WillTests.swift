import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct WillTests {
    private let test: TestBroker
    private let watcher: TestClient

    init() throws {
        test = TestBroker()
        watcher = try test.connect("watcher")
        try watcher.subscribe("will/#", qos: .exactlyOnce) { $0.retainAsPublished = true }
    }

    private func will(
        _ text: String = "gone",
        delay: UInt32 = 0,
        _ configure: (inout Will) -> Void = { _ in }
    ) throws -> Will {
        var will = Will(topic: try TopicName("will/a"), payload: ByteBuffer(string: text), delayInterval: delay)
        configure(&will)
        return will
    }

    private func connect(
        _ version: ProtocolVersion = .v5,
        expiry: UInt32 = 0,
        cleanStart: Bool = true,
        will: Will?
    ) throws -> TestClient {
        try test.connect("a", version) {
            $0.cleanStart = cleanStart
            $0.will = will
            if expiry > 0 { $0.properties.sessionExpiryInterval = expiry }
        }
    }

    @Test(
        "[MQTT-3.1.2-7] [MQTT-3.1.2-8] publishes the will when the connection is lost",
        arguments: ProtocolVersion.allCases
    )
    func lost(_ version: ProtocolVersion) throws {
        let client = try connect(version, will: try will { $0.qos = .exactlyOnce })
        #expect(try watcher.texts().isEmpty)
        client.drop()
        let messages = try watcher.messages()
        #expect(messages.map(\.text) == ["gone"])
        #expect(messages.first?.qos == .exactlyOnce)
        #expect(messages.first?.retain == false)
    }

    @Test("[MQTT-3.1.2-10] [MQTT-3.14.4-3] discards the will at DISCONNECT", arguments: ProtocolVersion.allCases)
    func discarded(_ version: ProtocolVersion) throws {
        try connect(version, will: try will()).disconnect()
        #expect(try watcher.texts().isEmpty)
    }

    @Test("MQTT 5.0 §3.14.2.1 publishes the will at DISCONNECT with Will Message")
    func asked() throws {
        try connect(will: try will()).disconnect(.disconnectWithWillMessage)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("[MQTT-3.1.2-8] publishes the will after a protocol error", arguments: ProtocolVersion.allCases)
    func protocolError(_ version: ProtocolVersion) throws {
        let client = try connect(version, will: try will())
        client.send(wire("00 00"))
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("[MQTT-3.1.2-8] publishes the will when Keep Alive has run out", arguments: ProtocolVersion.allCases)
    func keepAlive(_ version: ProtocolVersion) throws {
        _ = try test.connect("a", version) {
            $0.keepAlive = 10
            $0.will = try? will()
        }
        test.advance(seconds: 15)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("[MQTT-3.1.2-15] retains a will that asks for it", arguments: ProtocolVersion.allCases)
    func retained(_ version: ProtocolVersion) throws {
        try connect(version, will: try will { $0.retain = true }).drop()
        #expect(try watcher.messages().map(\.retain) == [true])
        let late = try test.connect("late")
        try late.subscribe("will/a")
        #expect(try late.texts() == ["gone"])
    }

    @Test("[MQTT-3.1.2-14] does not retain a will that does not ask for it", arguments: ProtocolVersion.allCases)
    func unretained(_ version: ProtocolVersion) throws {
        try connect(version, will: try will()).drop()
        #expect(try watcher.messages().map(\.retain) == [false])
        let late = try test.connect("late")
        try late.subscribe("will/a")
        #expect(try late.messages().isEmpty)
    }

    @Test("[MQTT-3.1.2-12 of 3.1.1] publishes nothing for a client without a will", arguments: ProtocolVersion.allCases)
    func noWill(_ version: ProtocolVersion) throws {
        try watcher.subscribe("#")
        try connect(version, will: nil).drop()
        // The will of an earlier connection is no longer there.
        try connect(version, will: try will()).disconnect()
        try connect(version, will: nil).drop()
        #expect(try watcher.messages().isEmpty)
    }

    @Test("[MQTT-3.1.3-10] forwards the will's properties, User Properties in order")
    func properties() throws {
        let users: UserProperties = [
            UserProperty("b", "1"), UserProperty("a", "2"), UserProperty("b", "1"), UserProperty("a", "1"),
        ]
        let client = try connect(
            will: try will {
                $0.properties.contentType = "text/plain"
                $0.properties.userProperties = users
                $0.properties.messageExpiryInterval = 30
            }
        )
        client.drop()
        let properties = try #require(try watcher.messages().first).properties
        #expect(properties.contentType == "text/plain")
        #expect(properties.userProperties == users)
        #expect(properties.messageExpiryInterval == 30)
    }

    @Test("MQTT 5.0 §3.1.3.2.2 publishes the will after its delay, and not before")
    func delayed() throws {
        try connect(expiry: 100, will: try will(delay: 10)).drop()
        test.advance(seconds: 9.9)
        #expect(try watcher.texts().isEmpty)
        test.advance(seconds: 0.1)
        #expect(try watcher.texts() == ["gone"])
        test.advance(seconds: 200)
        #expect(try watcher.texts().isEmpty)
    }

    @Test("MQTT 5.0 §3.1.3.2.2 publishes the will at the end of the session when that is before its delay")
    func sessionEnds() throws {
        try connect(expiry: 5, will: try will(delay: 10)).drop()
        test.advance(seconds: 4.9)
        #expect(try watcher.texts().isEmpty)
        test.advance(seconds: 0.1)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("MQTT 5.0 §3.1.3.2.2 publishes the will at once when the session ends with the connection")
    func noSession() throws {
        try connect(will: try will(delay: 10)).drop()
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("[MQTT-3.1.3-9] drops the will when the client comes back before its delay")
    func cancelled() throws {
        try connect(expiry: 100, will: try will(delay: 10)).drop()
        test.advance(seconds: 5)
        let again = try connect(expiry: 100, cleanStart: false, will: nil)
        test.advance(seconds: 100)
        #expect(try watcher.texts().isEmpty)
        again.drop()
        test.advance(seconds: 200)
        #expect(try watcher.texts().isEmpty)
    }

    @Test("a new will waits for its own delay, not for what is left of the former one's")
    func secondDelay() throws {
        try connect(expiry: 100, will: try will("first", delay: 10)).drop()
        test.advance(seconds: 5)
        try connect(expiry: 100, cleanStart: false, will: try will("second", delay: 20)).drop()
        test.advance(seconds: 19)
        #expect(try watcher.texts().isEmpty)
        test.advance(seconds: 1)
        #expect(try watcher.texts() == ["second"])
    }

    @Test("a shorter delay is kept, too, when a longer one was waited for before")
    func shorterDelay() throws {
        try connect(expiry: 1_000, will: try will("first", delay: 500)).drop()
        try connect(expiry: 1_000, cleanStart: false, will: try will("second", delay: 5)).drop()
        test.advance(seconds: 5)
        #expect(try watcher.texts() == ["second"])
    }

    @Test("MQTT 5.0 §3.1.3.2.2 Clean Start ends the session, and so the will is due")
    func cleanStart() throws {
        try connect(expiry: 100, will: try will(delay: 10)).drop()
        _ = try connect(will: nil)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("MQTT 5.0 §3.1.3.2.2 sends the will of a connection taken over when it has no delay")
    func takenOver() throws {
        let old = try connect(expiry: 100, will: try will("old"))
        let new = try connect(expiry: 100, cleanStart: false, will: try will("new"))
        #expect(old.isClosed)
        #expect(try watcher.texts() == ["old"])
        new.drop()
        #expect(try watcher.texts() == ["new"])
    }

    @Test("[MQTT-3.1.3-9] drops the will of a connection taken over when it has a delay and the session goes on")
    func takenOverWithDelay() throws {
        _ = try connect(expiry: 100, will: try will("old", delay: 10))
        let new = try connect(expiry: 100, cleanStart: false, will: try will("new", delay: 10))
        test.advance(seconds: 50)
        #expect(try watcher.texts().isEmpty)
        new.drop()
        test.advance(seconds: 10)
        #expect(try watcher.texts() == ["new"])
    }

    @Test("MQTT 5.0 §3.1.3.2.2 sends the will of a connection taken over with Clean Start")
    func takenOverClean() throws {
        _ = try connect(expiry: 100, will: try will("old", delay: 10))
        _ = try connect(will: nil)
        #expect(try watcher.texts() == ["old"])
    }

    @Test("[MQTT-3.1.2-8] of 3.1.1 sends the will of a connection taken over", arguments: [true, false])
    func takenOver311(_ cleanStart: Bool) throws {
        _ = try connect(.v3_1_1, cleanStart: cleanStart, will: try will("old"))
        _ = try connect(.v3_1_1, cleanStart: cleanStart, will: nil)
        #expect(try watcher.texts() == ["old"])
    }

    @Test("DISCONNECT with Will Message waits for the delay")
    func askedWithDelay() throws {
        try connect(expiry: 100, will: try will(delay: 10)).disconnect(.disconnectWithWillMessage)
        #expect(try watcher.texts().isEmpty)
        test.advance(seconds: 10)
        #expect(try watcher.texts() == ["gone"])
    }

    @Test("DISCONNECT that ends the session makes the will due, unless it discards it")
    func disconnectEndsSession() throws {
        try connect(expiry: 100, will: try will("kept", delay: 10)).disconnect(
            .disconnectWithWillMessage,
            sessionExpiryInterval: 0
        )
        #expect(try watcher.texts() == ["kept"])
        try connect(expiry: 100, will: try will("discarded", delay: 10)).disconnect(sessionExpiryInterval: 0)
        test.advance(seconds: 100)
        #expect(try watcher.texts().isEmpty)
    }

    @Test("a discarded will stays discarded when the session ends")
    func discardedStays() throws {
        try connect(expiry: 5, will: try will(delay: 1)).disconnect()
        test.advance(seconds: 100)
        #expect(try watcher.texts().isEmpty)
    }

    @Test("[MQTT-3.2.2-12] refuses a will above Maximum QoS")
    func aboveMaximumQoS() throws {
        let client = TestBroker { $0.maximumQoS = 0 }.open()
        let connack = try client.connect("a") { $0.will = try? will { $0.qos = .atLeastOnce } }
        #expect(connack?.reasonCode == .qosNotSupported)
        #expect(client.isClosed)
    }

    @Test("[MQTT-3.2.2-13] refuses a will with RETAIN where that is not served")
    func retainNotServed() throws {
        let client = TestBroker { $0.retainAvailable = false }.open()
        let connack = try client.connect("a") { $0.will = try? will { $0.retain = true } }
        #expect(connack?.reasonCode == .retainNotSupported)
        #expect(client.isClosed)
    }

    @Test("MQTT 5.0 §3.1.3.2.3 refuses a will that is no text and says it is, where that is checked")
    func mislabelled() throws {
        func reason(isChecked: Bool, _ bytes: [UInt8], isText: Bool?) throws -> ReasonCode? {
            let client = TestBroker { $0.validatesPayloadFormat = isChecked }.open()
            let connack = try client.connect("a") {
                $0.will = try? will { will in
                    will.payload = ByteBuffer(bytes: bytes)
                    will.properties.payloadFormatIndicator = isText
                }
            }
            #expect(client.isClosed == connack?.reasonCode.isError)
            return connack?.reasonCode
        }
        #expect(try reason(isChecked: true, [0xc3, 0x28], isText: true) == .payloadFormatInvalid)
        #expect(try reason(isChecked: true, [0xc3, 0xa9], isText: true) == .success)
        #expect(try reason(isChecked: true, [0xc3, 0x28], isText: false) == .success)
        #expect(try reason(isChecked: true, [0xc3, 0x28], isText: nil) == .success)
        #expect(try reason(isChecked: false, [0xc3, 0x28], isText: true) == .success)
    }
}
