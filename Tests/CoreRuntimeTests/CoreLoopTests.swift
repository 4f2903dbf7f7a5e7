import BrokerCore
import CoreRuntime
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import Testing

@Suite struct CoreLoopTests {
    @Test("runs what is submitted on its loop, in order, and nothing before the loop runs")
    func order() {
        let loop = EmbeddedEventLoop()
        let core = CoreLoop(eventLoop: loop, broker: Broker(now: .now()))
        let done = Record()
        for number in 0..<100 { core.submit { _ in done.append(number) } }
        #expect(done.numbers.isEmpty)
        loop.run()
        #expect(done.numbers == Array(0..<100))
    }

    @Test("what is submitted by submitted work comes after it")
    func nested() {
        let loop = EmbeddedEventLoop()
        let core = CoreLoop(eventLoop: loop, broker: Broker(now: .now()))
        let done = Record()
        core.submit { _ in
            done.append(1)
            core.submit { _ in done.append(3) }
        }
        core.submit { _ in done.append(2) }
        loop.run()
        loop.run()
        #expect(done.numbers == [1, 2, 3])
    }

    @Test("gives the value of what was asked for")
    func perform() async {
        let loop = NIOAsyncTestingEventLoop()
        let core = CoreLoop(eventLoop: loop, broker: Broker(now: .now()))
        async let received = core.perform { $0.statistics.published }
        // The question may be on its way still; the loop runs until it is answered.
        let answer = Task {
            while !Task.isCancelled {
                await loop.run()
                await Task.yield()
            }
        }
        #expect(await received == 0)
        answer.cancel()
        await loop.shutdownGracefully()
    }

    @Test("flushes once a tick, after all work of the tick")
    func flushes() {
        let loop = EmbeddedEventLoop()
        let core = CoreLoop(eventLoop: loop, broker: Broker(now: .now()))
        let batches = Record()
        let connection = VirtualConnection(
            transportProtocol: .http,
            remoteAddress: "",
            outlet: .messages(
                MessageSink(capacity: 100, receive: { batches.append($0.count) }, closed: { _ in })
            )
        )
        core.submit { broker in
            broker.connect(ConnectRequest(clientID: "a"), on: connection) { _ in }
            broker.subscribe([.init(filter: "t")], identifier: nil, on: connection) { _ in }
        }
        for _ in 0..<5 {
            core.submit { broker in
                guard let topic = try? TopicName("t") else { return }
                _ = broker.publish(Message(topic: topic, payload: ByteBuffer(), qos: .atMostOnce), from: connection)
            }
        }
        loop.run()
        #expect(batches.numbers == [5])
    }
}

/// Numbers in the order they were written down.
private final class Record: Sendable {
    private let state = NIOLockedValueBox<[Int]>([])

    var numbers: [Int] { state.withLockedValue { $0 } }

    func append(_ number: Int) { state.withLockedValue { $0.append(number) } }
}
