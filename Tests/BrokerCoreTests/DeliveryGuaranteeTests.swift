import BrokerTestSupport
import MQTTCodec
import Testing

/// What MQTT promises, through lost connections, takeovers and restarts of the broker.
@Suite struct DeliveryGuaranteeTests {
    @Test(
        "[MQTT-4.3.2-4] [MQTT-4.3.3-10] [MQTT-4.6.0-1] delivers QoS 1 at least once and QoS 2 exactly once, in order",
        arguments: 0..<60 as Range<UInt64>
    )
    func guarantees(_ seed: UInt64) throws {
        try run(seed) { _, test in
            test.restarted()
        } disturb: { _, _ in
        }
    }

    @Test("what was acknowledged survives crashes between any two batches", arguments: 0..<120 as Range<UInt64>)
    func crashes(_ seed: UInt64) throws {
        try run(seed) { _, test in
            test.store.crash()
            return test.crashed()
        } disturb: { generator, test in
            if generator.once(in: 6) { test.store.hold() }
            if generator.once(in: 12) {
                test.store.release()
                test.flush()
            }
            if generator.once(in: 9) { test.advance(seconds: 0.1) }
        }
    }

    /// - Parameters:
    ///   - restart: makes the broker that follows.
    ///   - disturb: what happens to the store between any two steps of the clients.
    private func run(
        _ seed: UInt64,
        restart: (inout SplitMix64, TestBroker) -> TestBroker,
        disturb: (inout SplitMix64, TestBroker) -> Void
    ) throws {
        var generator = SplitMix64(seed: seed)
        var test = TestBroker()
        let clients = (0..<3).map { ConformingClient("c\($0)", generator.pick(ProtocolVersion.allCases)) }
        for client in clients {
            try client.connect(to: test, receiveMaximum: 10)
            try client.subscribe("t/+")
        }
        var sent: [QoS: [[String]]] = [.atLeastOnce: [[], [], []], .exactlyOnce: [[], [], []]]
        for number in 0..<300 {
            disturb(&generator, test)
            let who = generator.number(0...2)
            let client = clients[who]
            switch generator.number(0...19) {
            case 0: client.drop()
            case 1: try client.connect(to: test, receiveMaximum: generator.number(1...10))
            case 2 where generator.once(in: 3):
                test = restart(&generator, test)
                for client in clients { client.forgetConnection() }
            case 3...10:
                guard client.isConnected else { continue }
                let qos: QoS = generator.once(in: 2) ? .atLeastOnce : .exactlyOnce
                let text = "\(who):\(number)"
                let before = client.outgoingCount
                try client.publish(text, to: "t/\(who)", qos: qos)
                if client.outgoingCount > before { sent[qos]?[who].append(text) }
            default: try client.read(generator.number(1...6))
            }
        }
        test.store.release()
        test.flush()
        for client in clients where !client.isConnected { try client.connect(to: test, receiveMaximum: 5) }
        while try clients.map({ try $0.read(100) }).contains(where: { $0 > 0 }) {}
        for client in clients {
            #expect(client.isIdle)
            for who in 0..<3 {
                let exactlyOnce = (client.delivered[.exactlyOnce] ?? []).filter { $0.hasPrefix("\(who):") }
                #expect(exactlyOnce == sent[.exactlyOnce]?[who])
                let atLeastOnce = (client.delivered[.atLeastOnce] ?? []).filter { $0.hasPrefix("\(who):") }
                #expect(atLeastOnce.withoutRepetitions() == sent[.atLeastOnce]?[who])
            }
        }
    }
}

extension [String] {
    /// Each text where it came first.
    fileprivate func withoutRepetitions() -> [String] {
        var seen: Set<String> = []
        return filter { seen.insert($0).inserted }
    }
}
