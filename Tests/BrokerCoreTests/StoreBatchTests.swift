import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct StoreBatchTests {
    private func destination(_ session: UInt64, _ state: DeliveryState) -> StoredDestination {
        StoredDestination(
            session: SessionNumber(rawValue: session),
            sequence: 1,
            qos: .atLeastOnce,
            retain: false,
            identifiers: [],
            share: nil,
            state: state
        )
    }

    @Test("a message added to a batch knows its destinations and how many are left") func messageAddedBatchKnows()
        throws
    {
        let message = Message(topic: try TopicName("t"), payload: ByteBuffer(string: "m"), qos: .atLeastOnce)
        var batch = StoreBatch(number: 1)
        batch.add(message, number: MessageNumber(rawValue: 1), for: [destination(1, .queued), destination(2, .done)])
        batch.add(message, number: MessageNumber(rawValue: 2), for: [destination(3, .published(4))])
        let second = batch.messages[1]
        let places = second.firstDestination..<(second.firstDestination + second.destinationCount)
        #expect(batch.destinations[places].map(\.session.rawValue) == [3])
        #expect(batch.messages.map(\.remaining) == [1, 1])
        #expect(batch.messages[0].destinationCount == 2)
    }
}
