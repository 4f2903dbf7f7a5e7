import BrokerCore
import BrokerTestSupport
import Testing

@Suite struct SharedMessageTests {
    @Test("each delivery of a stored message counts once, however often it is done", arguments: [1, 2, 64, 65, 200])
    func once(_ destinations: Int) {
        var generator = SplitMix64(seed: UInt64(destinations))
        var message = SharedMessage(destinations: destinations)
        var done: Set<UInt32> = []
        for _ in 0..<destinations * 8 {
            let destination = UInt32.random(in: 0..<UInt32(destinations + 1), using: &generator)
            let isNew = destination < destinations && done.insert(destination).inserted
            #expect(message.finish(destination) == isNew)
            #expect(message.remaining == destinations - done.count)
        }
    }
}
