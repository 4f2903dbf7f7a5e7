import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct TimerQueueTests {
    @Test("sessions that are over leave no timer behind, however long they were to last", arguments: [true, false])
    func sessionsLeaveNothing(_ hasWill: Bool) throws {
        let test = TestBroker()
        let before = test.broker.timerCount
        for _ in 0..<100 {
            let client = try test.connect("c") {
                $0.properties.sessionExpiryInterval = .max - 1
                guard hasWill else { return }
                $0.will = try? Will(topic: TopicName("w"), payload: ByteBuffer(string: "gone"), delayInterval: .max - 1)
            }
            client.drop()
        }
        #expect(test.broker.timerCount <= before + 2)
        try test.connect("c").disconnect()
        #expect(test.broker.timerCount == before)
    }

    @Test("a session that is resumed over and over has one timer of each kind")
    func resumed() throws {
        let test = TestBroker()
        let before = test.broker.timerCount
        for number in 0..<100 {
            test.advance(seconds: 1)
            try test.connectPersistent("c") { $0.properties.sessionExpiryInterval = UInt32(10_000 - number) }.drop()
        }
        #expect(test.broker.timerCount == before + 1)
    }

    @Test("connections that are over leave no timer behind: not connected in time, refused, dropped, taken over")
    func connectionsLeaveNothing() throws {
        let test = TestBroker { $0.connectTimeout = 3_600 }
        let before = test.broker.timerCount
        for number in 0..<50 {
            test.open().drop()
            let refused = test.open()
            refused.send(ByteBuffer(string: "nonsense"))
            try test.connect("a") { $0.keepAlive = 60 }.drop()
            _ = try test.connect("b") { $0.keepAlive = UInt16(number) }
        }
        try test.connect("b").disconnect()
        #expect(test.broker.timerCount == before)
    }

    @Test("timers come up in the order of their times, also where some are taken out between")
    func order() throws {
        var random = SplitMix64(seed: 7)
        let test = TestBroker()
        var due: [Int] = []
        for number in 0..<200 {
            let seconds = Int(random.next() % 1_000) + 1
            let client = try test.connect("c\(number)") { $0.properties.sessionExpiryInterval = UInt32(seconds) }
            client.drop()
            if number % 3 == 0 { try test.connect("c\(number)").disconnect() } else { due.append(seconds) }
        }
        for second in stride(from: 50, through: 1_000, by: 50) {
            test.advance(to: TestBroker.start + .seconds(Int64(second)))
            #expect(test.broker.sessionCount == due.count { $0 > second })
        }
    }
}
