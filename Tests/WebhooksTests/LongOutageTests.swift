import BrokerCore
import CoreRuntime
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import NIOPosix
import Testing
import Webhooks

/// An endpoint that is down for an hour of virtual time, while a message a second is published.
@Suite(.timeLimit(.minutes(2))) struct LongOutageTests {
    private static let outage = 3_600

    /// What stands where the network and the endpoint would be.
    private final class Endpoint: Sendable {
        private let state = NIOLockedValueBox((isUp: false, taken: [String](), attempts: [NIODeadline]()))
        private let loop: NIOAsyncTestingEventLoop

        init(_ loop: NIOAsyncTestingEventLoop) { self.loop = loop }

        /// Payloads, in the order in which they came.
        var taken: [String] { state.withLockedValue { $0.taken } }
        /// When it was asked.
        var attempts: [NIODeadline] { state.withLockedValue { $0.attempts } }

        func comeBack() { state.withLockedValue { $0.isUp = true } }

        func post(_ attempt: DeliverySchedule<Webhook.Item>.Attempt) -> WebhookPost.Answer {
            state.withLockedValue { state in
                state.attempts.append(loop.now)
                guard state.isUp else { return WebhookPost.Answer(outcome: .failed(retryAfter: nil), words: "down") }
                state.taken += attempt.items.map { String(buffer: $0.delivery.message.payload) }
                return WebhookPost.Answer(outcome: .delivered, words: "200")
            }
        }
    }

    private struct Run {
        let loop = NIOAsyncTestingEventLoop()
        let core: CoreLoop
        let endpoint: Endpoint
        let webhook: Webhook

        init(queue: Int) {
            var limits = QueueLimits()
            limits.messages = queue
            let core = CoreLoop(
                eventLoop: MultiThreadedEventLoopGroup.singleton.next(),
                broker: Broker(limits: Limits(queue: limits), now: .now())
            )
            let endpoint = Endpoint(loop)
            self.core = core
            self.endpoint = endpoint
            webhook = Webhook(
                WebhookConfiguration(name: "hook", url: "http://endpoint.example", topics: ["t"]),
                core: core,
                eventLoop: loop,
                post: { attempt, _ in endpoint.post(attempt) },
                events: .silent
            )
        }

        /// Lets so many seconds pass.
        func pass(_ seconds: Int) async {
            await loop.advanceTime(by: .seconds(Int64(seconds)))
            await settle()
        }

        /// Waits until everything that has come is with the endpoint or waits for its time.
        func settle() async {
            repeat {
                // What the core has for the webhook is on its loop then, and what follows from it has been done.
                await core.perform { $0.flush() }
                await core.perform { _ in }
                await loop.run()
            } while webhook.statistics.attempts > webhook.statistics.failures + webhook.statistics.delivered
        }

        func publish(_ number: Int) async {
            await core.perform { broker in
                let connection = VirtualConnection(
                    transportProtocol: .mqtt,
                    remoteAddress: "",
                    outlet: .messages(MessageSink(capacity: 0, receive: { _ in }, closed: { _ in }))
                )
                broker.connect(ConnectRequest(isTransient: true), on: connection) { _ in }
                guard let topic = try? TopicName("t") else { return }
                let message = Message(topic: topic, payload: ByteBuffer(string: "\(number)"), qos: .atLeastOnce)
                _ = broker.publish(message, from: connection)
                broker.disconnect(connection, reason: .normalDisconnection)
            }
        }

        /// An hour without the endpoint, and as long with it as it takes.
        ///
        /// - Returns: what was still to be delivered at the outage's end.
        func hour() async -> Int {
            webhook.start()
            while await core.perform({ $0.connectedClients }) == 0 { await loop.run() }
            await settle()
            for second in 0..<LongOutageTests.outage {
                await publish(second)
                await pass(1)
            }
            let waiting = await core.perform { $0.pendingMessages(of: .webhook("hook")) }
            endpoint.comeBack()
            var minutes = 0
            // The longest wait for the next attempt is five minutes.
            while endpoint.taken.isEmpty, minutes < 6 {
                await pass(60)
                minutes += 1
            }
            while await core.perform({ $0.pendingMessages(of: .webhook("hook")) }) > 0 { await settle() }
            return waiting
        }
    }

    @Test("nothing is lost within the queue's limit, all comes in order, and the endpoint was left in peace meanwhile")
    func withinLimit() async {
        let run = Run(queue: 10_000)
        #expect(await run.hour() == Self.outage)
        #expect(run.endpoint.taken == (0..<Self.outage).map(String.init))
        let statistics = run.webhook.statistics
        #expect(statistics.circuit == .closed && statistics.delivered == Self.outage)
        // About ten until the longest delay is reached, then one each 150 to 300 seconds.
        #expect((18...36).contains(statistics.failures))
        #expect(statistics.retries == statistics.failures)
        let attempts = run.endpoint.attempts.prefix(statistics.failures)
        #expect(zip(attempts, attempts.dropFirst()).allSatisfy { $1 - $0 <= .seconds(301) })
    }

    @Test("beyond the limit the oldest are dropped, but for those that are on their way, and the rest comes in order")
    func beyondLimit() async {
        let run = Run(queue: 1_000)
        #expect(await run.hour() == 1_002)
        let newest = ((Self.outage - 1_000)..<Self.outage).map(String.init)
        #expect(run.endpoint.taken == ["0", "1"] + newest)
    }
}
