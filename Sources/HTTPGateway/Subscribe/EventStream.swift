import BrokerCore
import HTTPServer
import JSONMessages
import MQTTCodec
import NIOCore

/// Writes what a subscriber gets into a response without an end, until one of the two leaves.
///
/// It is confined to the event loop of its connection.
final class EventStream: ResponseStream, @unchecked Sendable {
    // Sendable as a handle that the inbox and the heartbeat carry back to the event loop, where alone they touch it.

    /// Messages written at a time.
    private static let maximumBatch = 64

    private let subscriber: Subscriber
    private let format: EventFormat
    private let client: Client
    private let encoder: MessageEncoder
    private let interval: TimeAmount
    private var heartbeat: RepeatedTask?
    private var response: ResponseWriter?
    /// Whether the inbox will say when there is something.
    private var isWaiting = false

    /// - Parameter heartbeat: how often a stream with nothing to say says so.
    init(
        _ subscriber: Subscriber,
        _ format: EventFormat,
        _ client: Client,
        _ encoder: MessageEncoder,
        heartbeat: Duration
    ) {
        self.subscriber = subscriber
        self.format = format
        self.client = client
        self.encoder = encoder
        interval = heartbeat.timeAmount
    }

    /// The response's header is written.
    func begin(on response: ResponseWriter) {
        self.response = response
        response.write(format.opening(isReset: subscriber.isReset))
        heartbeat = client.channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            self.beat()
        }
        proceed()
        response.flush()
    }

    /// Writes what there is, as far as the client reads it.
    func proceed() {
        while !isWaiting, let response, response.isWritable {
            let eventLoop = client.channel.eventLoop
            let event = subscriber.inbox.next(maximum: Self.maximumBatch) { event in
                eventLoop.execute {
                    self.isWaiting = false
                    self.handle(event)
                    self.proceed()
                }
            }
            if let event { handle(event) } else { isWaiting = true }
        }
    }

    private func handle(_ event: Inbox.Event) {
        guard let response else { return }
        switch event {
        case .deliveries(let batch):
            write(batch, to: response)
            // Before the flush, which may call for the next batch.
            subscriber.wrote(batch)
            response.flush()
        case .closed(let reason):
            response.write(format.closing(reason))
            response.finish()
            end()
        case .alarm, .left, .superseded: end()
        }
    }

    private func write(_ batch: [Delivery], to response: ResponseWriter) {
        var buffer = client.channel.allocator.buffer(capacity: 256 * batch.count)
        let now = NIODeadline.now()
        for delivery in batch {
            format.write(delivery, epoch: subscriber.epoch, at: now, by: encoder, to: &buffer)
        }
        response.write(buffer)
    }

    private func beat() {
        if let response, response.isWritable {
            response.write(format.heartbeat)
            response.flush()
        }
        subscriber.grewOlder()
    }

    /// The response is over, or its client has left.
    func end() {
        response = nil
        heartbeat?.cancel()
        heartbeat = nil
        // It would keep the stream.
        subscriber.inbox.leave()
        subscriber.close()
    }
}
