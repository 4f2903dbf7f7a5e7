import BrokerTestSupport
import MQTTCodec
import Testing

@Suite struct SharedSubscriptionTests {
    private let test = TestBroker()

    private func members(
        _ names: String...,
        filter: String = "$share/g/t",
        qos: QoS = .atLeastOnce
    ) throws -> [TestClient] {
        try names.map { name in
            let client = try test.connectPersistent(name)
            try client.subscribe(filter, qos: qos)
            return client
        }
    }

    private func publish(_ count: Int, to topic: String = "t", qos: QoS = .atLeastOnce) throws {
        let publisher = try test.connect("p")
        for number in 0..<count { try publisher.publish(topic, "\(number)", qos: qos) }
    }

    @Test("MQTT 5.0 §4.8.2 gives each message to one member, in turn", arguments: QoS.allCases)
    func roundRobin(_ qos: QoS) throws {
        let group = try members("a", "b", "c", qos: .exactlyOnce)
        try publish(9, qos: qos)
        let got = try group.map { try $0.texts() }
        #expect(got.map(\.count) == [3, 3, 3])
        #expect(Set(got.flatMap { $0 }) == Set((0..<9).map { "\($0)" }))
    }

    @Test("3.1.1 clients may share, too")
    func version311() throws {
        let clients = try ["a", "b"].map { try test.connect($0, .v3_1_1) }
        for client in clients { try client.subscribe("$share/g/+", qos: .atLeastOnce) }
        try publish(4)
        #expect(try clients.map { try $0.texts().count } == [2, 2])
    }

    @Test("each group gets each message, and so does a plain subscriber")
    func groupsAndPlain() throws {
        let first = try members("a", "b", filter: "$share/one/t")
        let second = try members("c", "d", filter: "$share/two/+")
        let plain = try members("e", filter: "t")
        try publish(10)
        #expect(try first.map { try $0.texts().count }.reduce(0, +) == 10)
        #expect(try second.map { try $0.texts().count }.reduce(0, +) == 10)
        #expect(try plain[0].texts().count == 10)
    }

    @Test("MQTT 5.0 §4.8.2 a client with a plain and a shared subscription gets both messages")
    func plainAndShared() throws {
        let client = try test.connect("a")
        try client.subscribe("t", identifier: 1)
        try client.subscribe("$share/g/t", qos: .atLeastOnce, identifier: 2)
        try publish(1)
        let messages = try client.messages()
        #expect(messages.map(\.properties.subscriptionIdentifiers) == [[1], [2]])
        #expect(messages.map(\.qos) == [.atMostOnce, .atLeastOnce])
    }

    @Test("one member may be in a group by several filters")
    func overlappingShared() throws {
        let client = try test.connect("a")
        try client.subscribe("$share/g/t", "$share/g/+", "$share/h/t")
        try publish(1)
        #expect(try client.texts().count == 3)
    }

    @Test("passes over members that are away while one is there")
    func offlineMembers() throws {
        let group = try members("a", "b", "c")
        group[0].drop()
        group[2].drop()
        try publish(6)
        #expect(try group[1].texts().count == 6)
        #expect(try test.connectPersistent("a").texts().isEmpty)
    }

    @Test("queues for members in turn when all are away")
    func allOffline() throws {
        for member in try members("a", "b") { member.drop() }
        try publish(6)
        #expect(try test.connectPersistent("a").texts().count == 3)
        #expect(try test.connectPersistent("b").texts().count == 3)
    }

    @Test("passes over a member whose window is full while another has room")
    func busyMembers() throws {
        let slow = try test.connect("slow") { $0.properties.receiveMaximum = 1 }
        let fast = try test.connect("fast")
        for client in [slow, fast] { try client.subscribe("$share/g/t", qos: .atLeastOnce) }
        try publish(10)
        #expect(try slow.takePublishes().count == 1)
        #expect(try fast.takePublishes().count == 9)
    }

    @Test("[MQTT-4.8.2-4] [MQTT-4.8.2-5] keeps a QoS 2 message with the member it was sent to")
    func staysWithMember() throws {
        let group = try members("a", "b", qos: .exactlyOnce)
        try publish(1, qos: .exactlyOnce)
        let who = try #require(try group.firstIndex { try $0.takePublish() != nil })
        group[who].drop()
        #expect(try group[1 - who].takePublishes().isEmpty)
        #expect(try test.connectPersistent(["a", "b"][who]).messages().map(\.dup) == [true])
    }

    @Test(
        "[MQTT-4.8.2-6] a message that a member refuses goes to no other",
        arguments: [QoS.atLeastOnce, .exactlyOnce]
    )
    func refused(_ qos: QoS) throws {
        let group = try members("a", "b", qos: .exactlyOnce)
        try publish(1, qos: qos)
        let sent = try group.map { try $0.takePublish()?.packetID }
        let who = try #require(sent.firstIndex { $0 != nil })
        let id = try #require(sent[who])
        let refusal = Acknowledgement(packetID: id, reasonCode: .implementationSpecificError)
        group[who].send(qos == .atLeastOnce ? .puback(refusal) : .pubrec(refusal))
        for member in group {
            #expect(try member.packets().isEmpty)
            member.drop()
        }
        for name in ["a", "b"] { #expect(try test.connectPersistent(name).messages().isEmpty) }
    }

    @Test("members that leave or end are no longer served", arguments: 0..<10 as Range<UInt64>)
    func leaving(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let filter = generator.pick(["$share/g/t", "$share/g/#"])
        var left = try (0..<8).map { number in
            let client = try test.connect("c\(number)")
            try client.subscribe(filter, qos: .atLeastOnce)
            return client
        }
        while !left.isEmpty {
            try publish(left.count * 3)
            for client in left { #expect(try client.texts().count == 3) }
            let leaving = left.remove(at: generator.number(0...(left.count - 1)))
            switch generator.number(0...2) {
            case 0: try leaving.unsubscribe(filter)
            case 1: leaving.drop()
            default: leaving.disconnect()
            }
        }
        let publisher = try test.connect("p")
        #expect(try publisher.publish("t", qos: .atLeastOnce) == .noMatchingSubscribers)
    }

    @Test(
        "[MQTT-3.8.4-3] [MQTT-4.8.2-3] subscribing anew to a share changes its QoS and keeps its place",
        arguments: ["$share/g/t", "$share/g/+"]
    )
    func replaces(_ filter: String) throws {
        let group = try members("a", "b", filter: filter, qos: .atMostOnce)
        try group[0].subscribe(filter, qos: .atLeastOnce)
        try publish(4)
        #expect(try group[0].messages().map(\.qos) == [.atLeastOnce, .atLeastOnce])
        #expect(try group[1].messages().map(\.qos) == [.atMostOnce, .atMostOnce])
    }

    @Test("a shared subscription outlives its connection with the session")
    func resumed() throws {
        let group = try members("a")
        group[0].drop()
        let again = try test.connectPersistent("a")
        try publish(2)
        #expect(try again.texts().count == 2)
    }

    @Test("ShareNames are one only when their bytes are")
    func noNormalization() throws {
        let one = try test.connect("a")
        let two = try test.connect("b")
        try one.subscribe("$share/caf\u{E9}/t")
        try two.subscribe("$share/cafe\u{301}/t")
        try publish(2)
        #expect(try one.texts().count == 2)
        #expect(try two.texts().count == 2)
    }
}
