import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// A broker that starts from the store of one that has stopped.
@Suite struct RecoveryTests {
    private let test = TestBroker()

    /// A client away, with a subscription at QoS 2.
    private func away(_ version: ProtocolVersion = .v5, _ configure: (inout Connect) -> Void = { _ in }) throws {
        let client = try test.connectPersistent("s", version, configure)
        try client.subscribe("t", qos: .exactlyOnce)
        client.drop()
    }

    private func publish(_ texts: String..., qos: QoS = .atLeastOnce, to test: TestBroker) throws {
        let publisher = try test.connect("p")
        for text in texts { try publisher.publish("t", text, qos: qos) }
    }

    @Test(
        "[MQTT-3.1.2-23] brings sessions and subscriptions back with their options",
        arguments: ProtocolVersion.allCases
    )
    func subscriptions(_ version: ProtocolVersion) throws {
        let client = try test.connectPersistent("s")
        try client.subscribe("t", qos: .atLeastOnce, identifier: 7) { $0.noLocal = true }
        try client.subscribe("gone")
        try client.unsubscribe("gone")
        try client.subscribe("$share/g/w/+", qos: .exactlyOnce)
        client.drop()
        let next = test.restarted()
        let again = try next.connectPersistent("s")
        #expect(again.connack?.sessionPresent == true)
        try again.publish("t", "mine")
        let publisher = try next.connect("p", version)
        try publisher.publish("t", "other", qos: .exactlyOnce)
        try publisher.publish("gone")
        try publisher.publish("w/x", "shared", qos: .exactlyOnce)
        let messages = try again.messages()
        #expect(messages.map(\.text) == ["other", "shared"])
        #expect(messages.map(\.qos) == [.atLeastOnce, .exactlyOnce])
        #expect(messages.first?.properties.subscriptionIdentifiers == [7])
    }

    @Test("brings back no session that ended with its connection")
    func transient() throws {
        _ = try test.connect("a")
        let persistent = try test.connectPersistent("b")
        persistent.disconnect(sessionExpiryInterval: 0)
        try test.connectPersistent("c").drop()
        _ = try test.connect("c") { $0.cleanStart = false }
        let next = test.restarted()
        for id in ["a", "b", "c"] {
            #expect(try next.connectPersistent(id).connack?.sessionPresent == false, "\(id)")
        }
    }

    @Test("[MQTT-3.1.2-23] [MQTT-4.5.0-1] brings the queue back in order", arguments: ProtocolVersion.allCases)
    func queue(_ version: ProtocolVersion) throws {
        try away(version)
        try publish("1", "2", to: test)
        let second = test.restarted()
        try publish("3", qos: .exactlyOnce, to: second)
        let third = second.restarted()
        let client = try third.connectPersistent("s", version)
        let messages = try client.messages()
        #expect(messages.map(\.text) == ["1", "2", "3"])
        #expect(messages.map(\.dup) == [false, false, false])
        client.drop()
        // What was acknowledged is gone from the store.
        #expect(try third.restarted().connectPersistent("s", version).messages().isEmpty)
    }

    @Test("[MQTT-4.4.0-1] brings messages in flight back under their identifiers", arguments: ProtocolVersion.allCases)
    func inflight(_ version: ProtocolVersion) throws {
        try away(version)
        let client = try test.connectPersistent("s", version)
        try publish("0", "1", to: test)
        try publish("2", "3", qos: .exactlyOnce, to: test)
        let sent = try client.takePublishes()
        try client.acknowledge(sent[0])
        let released = try #require(sent[2].packetID)
        client.send(.pubrec(Acknowledgement(packetID: released)))
        let next = test.restarted()
        try publish("4", to: next)
        let again = try next.connectPersistent("s", version)
        let packets = try again.packets()
        #expect(packets.first == .pubrel(Acknowledgement(packetID: released)))
        let resent = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(resent.map(\.text) == ["1", "3", "4"])
        #expect(resent.map(\.dup) == [true, true, false])
        #expect(resent.prefix(2).map(\.packetID) == [sent[1].packetID, sent[3].packetID])
        #expect(Set(resent.map(\.packetID)).count == 3)
        #expect(resent.last?.packetID != released)
    }

    @Test("[MQTT-4.6.0-1] nothing overtakes what a former process has sent, nor takes its Packet Identifier")
    func notResumedYet() throws {
        let request = ConnectRequest(clientID: "s", cleanStart: false, sessionExpiryInterval: 60)
        let client = SinkClient(test)
        client.connect(request)
        client.subscribe("t", qos: .atLeastOnce)
        try publish("1", "2", to: test)
        #expect(client.deliveries().map(\.text) == ["1", "2"])
        let next = test.restarted()
        let again = SinkClient(next)
        // A gateway may subscribe, and others publish, before it asks for what is left.
        _ = next.broker.connect(request, on: again.connection)
        try next.connect("q").publish("u", "3", qos: .atLeastOnce, retain: true)
        again.subscribe("u", qos: .atLeastOnce)
        try publish("4", to: next)
        #expect(again.deliveries().isEmpty)
        next.broker.resume(again.connection)
        next.flush()
        let deliveries = again.deliveries()
        // What is retained comes after what waits in the queue.
        #expect(deliveries.map(\.text) == ["1", "2", "4", "3"])
        #expect(Set(deliveries.map(\.packetID)).count == 4)
    }

    @Test("knows which deliveries were taken for read, and reuses the place of none")
    func takenForRead() throws {
        let request = ConnectRequest(clientID: "s", cleanStart: false, sessionExpiryInterval: 60)
        let client = SinkClient(test)
        client.connect(request)
        client.subscribe("t", qos: .atLeastOnce)
        try publish("1", "2", "3", to: test)
        let sent = client.deliveries().map(\.sequence)
        test.broker.takeForRead(through: sent[1], on: client.connection)
        let next = test.restarted()
        let again = SinkClient(next)
        again.connect(request)
        #expect(next.broker.hasTakenForRead(after: sent[0], on: again.connection))
        #expect(!next.broker.hasTakenForRead(after: sent[1], on: again.connection))
        try publish("4", to: next)
        let rest = again.deliveries()
        #expect(rest.map(\.text) == ["3", "4"])
        #expect(rest[0].sequence == sent[2] && rest[1].sequence > sent[2])
    }

    @Test("brings messages in flight back across the wrap of Packet Identifiers")
    func inflightAcrossWrap() throws {
        try away()
        let client = try test.connectPersistent("s")
        let publisher = try test.connect("p")
        for _ in 0..<65_534 {
            try publisher.sendPublish("t", "x", qos: .atLeastOnce, packetID: 1)
            if let message = try client.takePublish() { try client.acknowledge(message) }
            _ = try publisher.packets()
        }
        let texts = (0..<3).map { "\($0)" }
        for text in texts { try publisher.publish("t", text, qos: .atLeastOnce) }
        let sent = try client.takePublishes()
        #expect(sent.first?.packetID == 65_535)
        #expect(sent.dropFirst().first?.packetID == 1)
        let again = try test.restarted().connectPersistent("s")
        let resent = try again.takePublishes()
        #expect(resent.map(\.text) == texts)
        #expect(resent.map(\.packetID) == sent.map(\.packetID))
    }

    @Test("[MQTT-4.3.3-10] knows QoS 2 messages it had received", arguments: ProtocolVersion.allCases)
    func received(_ version: ProtocolVersion) throws {
        try away()
        let client = try test.connectPersistent("p", version)
        try client.sendPublish("t", "1", qos: .exactlyOnce, packetID: 1)
        try client.sendPublish("t", "2", qos: .exactlyOnce, packetID: 2)
        client.send(.pubrel(Acknowledgement(packetID: 2)))
        let next = test.restarted()
        let again = try next.connectPersistent("p", version)
        try again.sendPublish("t", "1", qos: .exactlyOnce, dup: true, packetID: 1)
        try again.sendPublish("t", "new", qos: .exactlyOnce, packetID: 2)
        #expect(try next.connectPersistent("s").texts() == ["1", "2", "new"])
    }

    @Test("brings retained messages back, and not those that were cleared")
    func retained() throws {
        let publisher = try test.connect("p")
        try publisher.publish("a", "1", qos: .atLeastOnce, retain: true) { $0.properties.contentType = "x/y" }
        try publisher.publish("a", "2", qos: .atLeastOnce, retain: true) { $0.properties.contentType = "x/y" }
        try publisher.publish("b", "1", retain: true)
        try publisher.publish("b", "", retain: true)
        try publisher.publish("c", "1", retain: true) { $0.properties.messageExpiryInterval = 10 }
        test.advance(seconds: 4)
        let next = test.restarted()
        let subscriber = try next.connect("s")
        try subscriber.subscribe("#", qos: .atLeastOnce)
        let messages = try subscriber.messages().sorted { $0.text > $1.text }
        #expect(messages.map(\.text) == ["2", "1"])
        #expect(messages.map(\.properties.contentType) == ["x/y", nil])
        #expect(messages.map(\.properties.messageExpiryInterval) == [nil, 6])
    }

    @Test("a retained message of an earlier start is nobody's own")
    func retainedPublisher() throws {
        let publishers = try (0..<5).map { try test.connect("p\($0)") }
        for (number, publisher) in publishers.enumerated() {
            try publisher.publish("t/\(number)", "x", retain: true)
        }
        let next = test.restarted()
        for number in 0..<5 {
            let client = try next.connect("other\(number)")
            try client.subscribe("t/+") { $0.noLocal = true }
            #expect(try client.messages().count == 5)
        }
    }

    @Test("a session goes on ageing over the restart, and a connected one begins to")
    func ageing() throws {
        try away { $0.properties.sessionExpiryInterval = 100 }
        _ = try test.connectPersistent("c") { $0.properties.sessionExpiryInterval = 100 }
        test.advance(seconds: 60)
        let next = test.restarted()
        next.advance(seconds: 39)
        #expect(try next.connect("s") { $0.cleanStart = false }.connack?.sessionPresent == true)
        let third = test.restarted()
        third.advance(seconds: 40)
        #expect(try third.connect("s") { $0.cleanStart = false }.connack?.sessionPresent == false)
        third.advance(seconds: 59)
        #expect(try third.connect("c") { $0.cleanStart = false }.connack?.sessionPresent == true)
        let fourth = test.restarted()
        fourth.advance(seconds: 100)
        #expect(try fourth.connect("c") { $0.cleanStart = false }.connack?.sessionPresent == false)
    }

    @Test("a session of a client that was connected goes on ageing over the next restart, and so does its will")
    func ageingOverRestarts() throws {
        let watcher = try test.connectPersistent("w")
        try watcher.subscribe("will", qos: .atLeastOnce)
        _ = try test.connectPersistent("a") { $0.properties.sessionExpiryInterval = 100 }
        _ = try test.connectPersistent("b") { $0.will = try? will(delay: 100) }
        let next = test.restarted()
        next.advance(seconds: 60)
        let third = next.restarted()
        third.advance(seconds: 40)
        #expect(try third.connect("a") { $0.cleanStart = false }.connack?.sessionPresent == false)
        #expect(try third.connectPersistent("w").texts() == ["100"])
    }

    @Test("[MQTT-3.1.2-7] publishes the will of a client that was connected when the broker stopped")
    func willOfConnected() throws {
        let watcher = try test.connectPersistent("w")
        try watcher.subscribe("will", qos: .atLeastOnce)
        _ = try test.connectPersistent("a") { $0.will = try? will(delay: 0) }
        _ = try test.connectPersistent("b") { $0.will = try? will(delay: 10) }
        let next = test.restarted()
        let again = try next.connectPersistent("w")
        next.advance(seconds: 0)
        #expect(try again.texts() == ["0"])
        next.advance(seconds: 10)
        #expect(try again.texts() == ["10"])
        // Published once and for all.
        let third = next.restarted()
        third.advance(seconds: 100)
        #expect(try third.connectPersistent("w").texts().isEmpty)
    }

    @Test("a delayed will is due when it was due before the restart")
    func willDelayed() throws {
        let watcher = try test.connectPersistent("w")
        try watcher.subscribe("will", qos: .atLeastOnce)
        try test.connectPersistent("a") { $0.will = try? will(delay: 30) }.drop()
        test.advance(seconds: 20)
        let next = test.restarted()
        let again = try next.connectPersistent("w")
        next.advance(seconds: 9)
        #expect(try again.texts().isEmpty)
        next.advance(seconds: 1)
        #expect(try again.texts() == ["30"])
    }

    @Test("a will discarded or published before stays so")
    func willGone() throws {
        let watcher = try test.connectPersistent("w")
        try watcher.subscribe("will", qos: .atLeastOnce)
        try test.connectPersistent("a") { $0.will = try? will(delay: 0) }.disconnect()
        try test.connectPersistent("b") { $0.will = try? will(delay: 0) }.drop()
        #expect(try watcher.texts() == ["0"])
        let next = test.restarted()
        next.advance(seconds: 100)
        #expect(try next.connectPersistent("w").texts().isEmpty)
    }

    private func will(delay: UInt32) throws -> Will {
        Will(
            topic: try TopicName("will"),
            payload: ByteBuffer(string: "\(delay)"),
            qos: .atLeastOnce,
            delayInterval: delay
        )
    }
}
