import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct RetainedExpiryTests {
    private func retain(_ count: Int, for seconds: UInt32?, _ test: TestBroker, prefix: String = "r") throws {
        let publisher = try test.connect("p")
        for number in 0..<count {
            try publisher.publish("\(prefix)/\(number)", "x", qos: .atLeastOnce, retain: true) {
                $0.properties.messageExpiryInterval = seconds
            }
        }
        publisher.disconnect()
    }

    @Test("retained messages that have expired are removed, from the store too, though nobody asks for them")
    func removed() throws {
        let test = TestBroker()
        try retain(200, for: 5, test)
        try retain(10, for: nil, test, prefix: "kept")
        let bytes = test.broker.retainedBytes
        test.advance(seconds: 4)
        #expect(test.broker.retainedCount == 210)
        test.advance(seconds: 3)
        #expect(test.broker.retainedCount == 10)
        #expect(test.broker.retainedBytes < bytes / 10)
        test.storeAll()
        #expect(try test.store.retainedTopics.count == 10)
    }

    @Test("those that are retained while others are removed have their time, too")
    func later() throws {
        let test = TestBroker()
        try retain(10, for: 1, test)
        test.advance(seconds: 2)
        try retain(10, for: 100, test, prefix: "s")
        try retain(10, for: 5, test, prefix: "t")
        test.advance(seconds: 8)
        #expect(test.broker.retainedCount == 10)
        test.advance(seconds: 120)
        #expect(test.broker.retainedCount == 0)
    }

    @Test("a message that replaces one with an end has none, and stays")
    func replaced() throws {
        let test = TestBroker()
        try retain(5, for: 1, test)
        try retain(5, for: nil, test)
        test.advance(seconds: 60)
        #expect(test.broker.retainedCount == 5)
        #expect(try test.connect("s").subscribe("r/#") == [.grantedQoS0])
    }

    @Test("they are removed after a restart, too, and there is no timer when none has an end")
    func restarted() throws {
        let test = TestBroker()
        try retain(5, for: 100, test)
        try retain(1, for: nil, test, prefix: "kept")
        let again = test.restarted()
        #expect(again.broker.retainedCount == 6)
        again.advance(seconds: 110)
        #expect(again.broker.retainedCount == 1)
        again.advance(seconds: 60)
        #expect(again.broker.timerCount == 0)
    }
}
