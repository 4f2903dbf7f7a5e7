package import BrokerCore
package import CoreRuntime
import JSONMessages
import MQTTCodec
import NIOConcurrencyHelpers
package import NIOCore

/// One webhook at work: a virtual connection with a persistent session, whose messages are posted and acknowledged when
/// the endpoint has taken them.
///
/// An endpoint that is down is an offline MQTT client: what it misses waits in the session's queue. All state but the
/// statistics is confined to one event loop.
package final class Webhook: @unchecked Sendable {
    // Sendable as a handle; closures carry it to the event loop, where alone its state is touched.

    /// A message to be posted.
    package struct Item: Sendable {
        package let delivery: Delivery
        /// The same at each attempt.
        package let id: String
    }

    /// Makes one attempt, and says what became of it.
    package typealias Post =
        @Sendable (DeliverySchedule<Item>.Attempt, WebhookConfiguration) async -> WebhookPost.Answer

    let configuration: WebhookConfiguration
    private let core: CoreLoop
    private let eventLoop: any EventLoop
    private let post: Post
    private let events: EventLog
    private var schedule: DeliverySchedule<Item>
    private var connection: VirtualConnection?
    private var epoch = ""
    /// Goes up with each connection: what is left of a former one is of no interest.
    private var generation = 0
    private var timer: Scheduled<Void>?
    private var inProgress = 0
    private var isStopping = false
    private var stopped: EventLoopPromise<Void>?
    private let counts = NIOLockedValueBox(WebhookStatistics())

    /// Bytes of messages in hand, give or take one; the rest waits in the session's queue.
    package static let maximumBytes = 4_194_304
    /// How long after the loss of its session it connects again.
    private static let reconnectDelay = TimeAmount.seconds(1)

    package init(
        _ configuration: WebhookConfiguration,
        core: CoreLoop,
        eventLoop: any EventLoop,
        post: @escaping Post,
        events: EventLog
    ) {
        self.configuration = configuration
        self.core = core
        self.eventLoop = eventLoop
        self.post = post
        self.events = events
        schedule = DeliverySchedule(configuration.schedule) { $0.delivery.message.cost }
    }

    package var statistics: WebhookStatistics { counts.withLockedValue { $0 } }

    /// Connects; from then on everything happens by itself.
    package func start() { eventLoop.execute { self.connect() } }

    /// Begins no more attempts, and disconnects when those in progress are over.
    package func stop() -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        eventLoop.execute {
            self.isStopping = true
            self.stopped = promise
            self.timer?.cancel()
            self.finishStopping()
        }
        return promise.futureResult
    }

    // MARK: The session

    private func connect() {
        guard !isStopping else { return }
        generation += 1
        let generation = generation
        let window = configuration.schedule.concurrency * configuration.schedule.batch * 2
        let connection = VirtualConnection(
            transportProtocol: .http,
            remoteAddress: "webhook",
            // The configuration says who it is: access rules go for it as for anybody.
            transportIdentity: configuration.user ?? configuration.name,
            outlet: .messages(
                MessageSink(
                    capacity: window,
                    maximumBytes: Self.maximumBytes,
                    receive: { batch in self.eventLoop.execute { self.received(batch, generation) } },
                    closed: { reason in self.eventLoop.execute { self.lost(reason, generation) } }
                )
            )
        )
        self.connection = connection
        schedule.removeAll()
        var request = ConnectRequest(
            clientID: configuration.sessionName.string,
            cleanStart: false,
            sessionExpiryInterval: configuration.sessionExpiryInterval,
            receiveMaximum: UInt16(clamping: window)
        )
        request.scope = .own
        let subscriptions = configuration.topics.map { filter in
            // A session that goes on would else get its retained messages again at each start.
            Subscribe.Subscription(
                filter: filter,
                options: SubscriptionOptions(qos: configuration.qos, retainHandling: .sendIfNew)
            )
        }
        core.submit { [request] broker in
            broker.publishSystemTopics(under: "webhooks/\(self.configuration.name)") { [weak self] broker in
                self?.systemTopics(broker) ?? []
            }
            broker.connect(request, on: connection) { result in
                let refused = Self.subscribe(subscriptions, result, connection, broker)
                self.eventLoop.execute { self.connected(result, refused, generation) }
                if !result.reasonCode.isError { broker.resume(connection) }
            }
        }
    }

    /// Leaves the session with exactly these subscriptions.
    ///
    /// - Returns: the filters that were refused.
    private static func subscribe(
        _ subscriptions: [Subscribe.Subscription],
        _ result: ConnectResult,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) -> [(String, ReasonCode)] {
        guard !result.reasonCode.isError else { return [] }
        let wanted = Set(subscriptions.lazy.map { ExactText($0.filter) })
        let former = broker.subscribedFilters(of: connection).filter { !wanted.contains(ExactText($0)) }
        if !former.isEmpty { _ = broker.unsubscribe(former, on: connection) }
        var refused: [(String, ReasonCode)] = []
        broker.subscribe(subscriptions, identifier: nil, on: connection) { reasons in
            refused = zip(subscriptions, reasons).filter { $1.isError }.map { ($0.filter, $1) }
        }
        return refused
    }

    private func connected(_ result: ConnectResult, _ refused: [(String, ReasonCode)], _ generation: Int) {
        guard generation == self.generation else { return }
        guard !result.reasonCode.isError else { return lost(result.reasonCode, generation) }
        epoch = EventID.epoch(of: result.sessionNumber)
        for (filter, reason) in refused {
            note(.webhookRefused, level: .error, [.action(.subscribe), .topic(filter)] + reason.fields)
        }
    }

    private func lost(_ reason: ReasonCode, _ generation: Int) {
        guard generation == self.generation, !isStopping else { return }
        connection = nil
        // The session sends again what has not been taken, as far as it still may.
        schedule.removeAll()
        guard reason != .serverUnavailable else { return }
        note(.webhookDown, reason.fields + [.detail("its session was ended")])
        eventLoop.scheduleTask(in: Self.reconnectDelay) { self.connect() }
    }

    // MARK: Messages

    private func received(_ batch: [Delivery], _ generation: Int) {
        guard generation == self.generation, !isStopping else { return }
        schedule.add(batch.map { Item(delivery: $0, id: "\(EventID(epoch: epoch, sequence: $0.sequence))") })
        pump()
    }

    private func pump() {
        timer?.cancel()
        timer = nil
        while !isStopping {
            switch schedule.next(at: eventLoop.now) {
            case .send(let attempt): begin(attempt)
            case .wait(let deadline):
                timer = eventLoop.scheduleTask(deadline: deadline) { self.pump() }
                return count()
            case .idle: return count()
            }
        }
    }

    private func begin(_ attempt: DeliverySchedule<Item>.Attempt) {
        inProgress += 1
        counts.withLockedValue { counts in
            counts.attempts += 1
            if attempt.number > 1 { counts.retries += 1 }
        }
        let (configuration, post, generation) = (configuration, post, generation)
        Task {
            let outcome = await post(attempt, configuration)
            self.eventLoop.execute { self.finished(attempt, outcome, generation) }
        }
    }

    private func finished(
        _ attempt: DeliverySchedule<Item>.Attempt,
        _ outcome: WebhookPost.Answer,
        _ generation: Int
    ) {
        inProgress -= 1
        if generation == self.generation { settle(attempt, outcome) }
        if isStopping { finishStopping() } else { pump() }
    }

    private func settle(_ attempt: DeliverySchedule<Item>.Attempt, _ answer: WebhookPost.Answer) {
        let former = schedule.breaker
        let finished = schedule.finished(
            attempt.id,
            answer.outcome,
            at: eventLoop.now,
            jitter: Double.random(in: 0...1)
        )
        if case .failed = answer.outcome {
            counts.withLockedValue { $0.failures += 1 }
            note(.webhookFailed, [.reason(answer.words), .count(attempt.number)])
        }
        switch finished {
        case .delivered(let items):
            counts.withLockedValue { $0.delivered += items.count }
            acknowledge(items)
        case .refused(let items):
            counts.withLockedValue { $0.refused += items.count }
            note(
                .webhookRefused,
                [
                    .reason(answer.words),
                    .detail("the endpoint takes no message like \(items.first?.id ?? ""), which is dropped"),
                ]
            )
            acknowledge(items)
        case .none: break
        }
        report(former, answer)
    }

    private func report(_ former: DeliverySchedule<Item>.Breaker, _ answer: WebhookPost.Answer) {
        switch (former, schedule.breaker) {
        case (.closed, .open):
            note(.webhookDown, [.reason(answer.words)])
        case (.open, .closed), (.halfOpen, .closed): note(.webhookUp, [])
        default: break
        }
    }

    private func note(_ kind: Event.Kind, level: Event.Level? = nil, _ fields: @autoclosure () -> [Event.Field]) {
        events.note(kind, level: level, [.webhook(configuration.name)] + fields())
    }

    private func acknowledge(_ items: [Item]) {
        guard let connection else { return }
        core.submit { broker in
            broker.consumed(items.count, on: connection)
            for item in items {
                if let packetID = item.delivery.packetID { broker.acknowledge(packetID, on: connection) }
            }
        }
    }

    private func count() {
        let (waiting, breaker) = (schedule.count, schedule.breaker)
        counts.withLockedValue { counts in
            counts.waiting = waiting
            counts.circuit =
                switch breaker {
                case .closed: .closed
                case .open: .open
                case .halfOpen: .halfOpen
                }
        }
    }

    private func finishStopping() {
        guard inProgress == 0, let stopped = stopped.take() else { return }
        generation += 1
        if let connection = connection.take() {
            core.submit { $0.disconnect(connection, reason: .normalDisconnection) }
        }
        stopped.succeed()
    }
}
